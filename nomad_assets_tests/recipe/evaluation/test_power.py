"""What an experiment can show: against the table it was planned with, scipy's noncentral t, and simulation."""

import numpy as np
import pytest
from scipy import stats

from nomad_assets.recipe.evaluation.power import (
    ANSWER_LOG_PROBABILITY,
    EXACT_MATCH,
    Variances,
    planned_error,
    smallest_effect,
    variances_of,
)
from nomad_assets_tests.recipe.evaluation.worlds import World, worlds


@pytest.mark.parametrize(
    ("questions", "replicates", "points"),
    [(40, 5, (20.0, 22.2)), (250, 8, (7.8, 10.4)), (500, 8, (6.6, 9.6)), (1000, 12, (4.7, 7.0))],
)
def test_the_power_table(questions, replicates, points):
    """Question SD .20, single answers .40, run SD .03 and .05; alpha .01, power 90%."""
    found = [
        smallest_effect(questions, None, replicates, Variances(question=0.20, run=run, residual=0.40))
        for run in (0.03, 0.05)
    ]
    assert [100 * effect for effect in found] == pytest.approx(points, abs=0.05)


def test_log_probability_shows_four_hundredths_of_a_nat():
    assert smallest_effect(250, None, 8, ANSWER_LOG_PROBABILITY) == pytest.approx(0.038, abs=0.0005)


def test_three_replicates_cannot_show_sixteen_points():
    assert smallest_effect(10**7, None, 3, Variances(question=0.2, run=0.03, residual=0.4)) > 0.16


@pytest.mark.parametrize("replicates", [2, 5, 40])
def test_power_is_that_of_the_noncentral_t(replicates):
    error, freedom = planned_error(100, None, replicates, EXACT_MATCH)
    effect = smallest_effect(100, None, replicates, EXACT_MATCH, alpha=0.05, power=0.8)
    power = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, effect / error)
    assert power == pytest.approx(0.8, abs=0.002)


def test_clusters_count_instead_of_questions():
    apart = Variances(question=0.2, run=0.03, residual=0.4)
    together = Variances(question=0.0, run=0.03, residual=0.4, cluster=0.2)
    assert planned_error(400, 40, 8, together)[0] > planned_error(400, None, 8, apart)[0]
    assert planned_error(400, 40, 8, apart)[0] == planned_error(400, None, 8, apart)[0]


def test_nothing_varies():
    assert smallest_effect(40, None, 5, Variances(0.0, 0.0, 0.0)) == 0.0


def test_what_a_pilot_says_by_hand():
    runs, questions = np.array([0.0, 2.0]), np.array([0.0, 2.0, 4.0, 6.0])
    found = variances_of(runs[:, None] + questions)
    assert (found.run, found.question, found.residual, found.cluster) == pytest.approx((2**0.5, (20 / 3) ** 0.5, 0, 0))
    # Two clusters of means 1 and 5: 16 / 2 = 8 between them, of which the 2 within lend 2 / 2.
    paired = variances_of(runs[:, None] + questions, clusters=[0, 0, 1, 1])
    assert (paired.question, paired.cluster) == pytest.approx((2**0.5, (8 - 1) ** 0.5))


@pytest.mark.parametrize("clustered", [False, True], ids=["alone", "clustered"])
@pytest.mark.parametrize("kind", ["exact match", "log-probability"])
def test_a_pilot_finds_the_variances_of_its_world(kind, clustered):
    """Which shows as well that the made-up worlds are what they say."""
    world = World(kind, 8, 500, clustered)
    pilots = [variances_of(values, clusters=clusters) for values, clusters in worlds(world, 100, seed=3)]
    size = {n: np.mean([getattr(p, n) ** 2 for p in pilots]) for n in ("question", "cluster", "run", "residual")}
    assert (size["question"] + size["cluster"]) ** 0.5 == pytest.approx(world.variances.question, rel=0.05)
    assert size["residual"] ** 0.5 == pytest.approx(world.variances.residual, rel=0.03)
    assert size["run"] ** 0.5 == pytest.approx(world.variances.run, rel=0.12)
    assert (size["cluster"] > 0.2 * size["question"]) == clustered


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((40, None, 1), "at least two"), ((1, None, 5), "at least two"), ((40, 41, 5), "no more clusters")],
)
def test_too_small_plans_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        smallest_effect(*arguments)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="alpha"):
        smallest_effect(40, None, 5, alpha=0.95, power=0.9)
    with pytest.raises(ValueError, match="two of each"):
        variances_of(np.ones((1, 5)))
    with pytest.raises(ValueError, match="two of each"):
        variances_of(np.ones((5, 3)), benchmarks=["a", "a", "b"])
