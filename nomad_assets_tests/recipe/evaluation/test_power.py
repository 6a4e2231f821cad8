"""The smallest difference that is shown: against known numbers, against simulated worlds, and from a pilot."""

import numpy as np
import pytest

from benchmarks.worlds import World
from nomad_assets.recipe.evaluation.crossed import crossed
from nomad_assets.recipe.evaluation.power import EXACT_MATCH, Variances, planned_error, smallest_effect, variances_of


def drawn(random: np.random.Generator, replicates: int, questions: int, v: Variances, difference: float) -> np.ndarray:
    """Differences (replicates, questions) of a world with these deviations."""
    run, question = random.normal(0, v.run, (replicates, 1)), random.normal(0, v.question, questions)
    return difference + run + question + random.normal(0, v.residual, (replicates, questions))


@pytest.mark.parametrize(
    ("questions", "replicates", "run", "points"),
    [(250, 8, 0.03, 7.8), (1000, 8, 0.03, 5.9), (250, 32, 0.03, 5.6), (500, 8, 0.03, 6.6), (1000, 12, 0.03, 4.7)],
)
def test_worked_examples(questions: int, replicates: int, run: float, points: float) -> None:
    found = smallest_effect(questions, replicates, Variances(0.20, run, 0.40), alpha=0.01, power=0.9)
    assert 100 * found == pytest.approx(points, abs=0.06)


def test_three_replicates_show_next_to_nothing() -> None:
    assert smallest_effect(10**6, 3, EXACT_MATCH, alpha=0.01, power=0.9) > 0.16


def test_what_it_says_is_what_simulated_experiments_show() -> None:
    random, worlds, (questions, replicates) = np.random.default_rng(5), 600, (80, 8)
    effect = smallest_effect(questions, replicates, EXACT_MATCH, alpha=0.05, power=0.8)
    names, one = [str(q) for q in range(questions)], ["all"] * questions
    shown = [
        crossed(drawn(random, replicates, questions, EXACT_MATCH, effect), names, one).p < 0.05 for _ in range(worlds)
    ]
    assert 0.75 < np.mean(shown) < 0.85


def test_the_defaults_are_those_of_the_simulated_worlds() -> None:
    """What is said to be shown in 80 of 100 experiments is shown in 75 to 87 of 100 where answers are right or wrong."""
    random, worlds, (questions, replicates) = np.random.default_rng(8), 400, (250, 8)
    effect = smallest_effect(questions, replicates, EXACT_MATCH, alpha=0.05, power=0.8)
    world, names, one = (
        World(replicates, questions, difference=effect),
        [str(q) for q in range(questions)],
        ["all"] * questions,
    )
    shown = [crossed(world.draw(random), names, one).p < 0.05 for _ in range(worlds)]
    assert 0.75 < np.mean(shown) < 0.87


def test_the_planned_error_is_that_of_simulated_means() -> None:
    random = np.random.default_rng(6)
    means = [drawn(random, 5, 60, EXACT_MATCH, 0.0).mean() for _ in range(3000)]
    error, freedom = planned_error(60, 5, EXACT_MATCH)
    assert np.std(means) == pytest.approx(error, rel=0.05) and 4 < freedom < 64


def test_a_pilots_variances_are_found_again() -> None:
    random, true = np.random.default_rng(7), Variances(0.2, 0.05, 0.4)
    found = variances_of([drawn(random, 12, 300, true, 0.1) for _ in range(20)])
    for name, value in vars(true).items():
        assert getattr(found, name) == pytest.approx(value, rel=0.15), name
    assert variances_of([np.full((3, 4), 0.25)]) == Variances(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("alpha", "power"), [(0.0, 0.8), (0.05, 1.0), (0.9, 0.8)])
def test_impossible_levels_are_refused(alpha: float, power: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < alpha < power < 1"):
        smallest_effect(40, 5, EXACT_MATCH, alpha=alpha, power=power)


@pytest.mark.parametrize(("questions", "replicates"), [(1, 5), (40, 1)])
def test_one_of_either_plans_nothing(questions: int, replicates: int) -> None:
    with pytest.raises(ValueError, match="at least two of each"):
        smallest_effect(questions, replicates, EXACT_MATCH, alpha=0.05, power=0.8)
    with pytest.raises(ValueError, match="at least two of each"):
        variances_of([np.zeros((replicates, questions))])
