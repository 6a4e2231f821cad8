"""Looks before the end: published boundaries, and errors kept in simulation."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.worlds import World
from nomad_assets.recipe.evaluation.sequential import boundaries, conditional_power, decide, looks, spending

PLAN = looks(5, 12)
WORLDS = 40_000


def scores(plan, drift: float, seed: int) -> np.ndarray:
    """Standard errors at each look, shape (WORLDS, looks); `drift` is their expectation at the last."""
    fractions = np.array([look.fraction for look in plan])
    steps = np.diff(fractions, prepend=0)
    gained = np.random.default_rng(seed).normal(drift * steps, np.sqrt(steps), (WORLDS, len(plan)))
    return gained.cumsum(axis=1) / np.sqrt(fractions)


def test_boundaries_are_those_of_the_literature():
    """Five equal looks at two-sided .05: Reboussin, DeMets, Kim and Lan, Controlled Clinical Trials 21, 2000."""
    assert boundaries([0.2, 0.4, 0.6, 0.8, 1.0]) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_all_of_alpha_is_spent_at_the_end_and_little_before():
    assert spending(1.0, 0.05) == pytest.approx(0.05)
    assert spending(0.5, 0.05) < 0.004 and spending(0.25, 0.05) < 1e-4
    assert [look.spent for look in PLAN] == sorted(look.spent for look in PLAN)


def test_one_look_is_the_plain_test():
    (look,) = looks(5, 5)
    assert (look.replicates, look.fraction, look.level) == (5, 1.0, pytest.approx(0.05))


def test_looks_keep_alpha():
    found = (np.abs(scores(PLAN, 0.0, seed=0)) > [look.bound for look in PLAN]).any(axis=1).mean()
    assert found == pytest.approx(0.05, abs=3.3 * (0.05 * 0.95 / WORLDS) ** 0.5)


def test_plain_tests_at_every_look_do_not():
    assert (np.abs(scores(PLAN, 0.0, seed=0)) > 1.96).any(axis=1).mean() > 0.12


def test_conditional_power_by_hand():
    """At 6 of 12 replicates, z = 1 and a drift of 3: the score is .707, 1.5 more is expected, of SD .707."""
    look, final = PLAN[1], PLAN[-1]
    expected = stats.norm.sf((final.bound - 0.5**0.5 - 1.5) / 0.5**0.5)
    assert conditional_power(1.0, look, final, 3.0) == pytest.approx(expected, abs=1e-6)
    assert conditional_power(final.bound + 0.01, final, final, 0.0) == 1.0
    assert conditional_power(final.bound - 0.01, final, final, 0.0) == 0.0


def test_futility_costs_little_power():
    """At the planned effect 90% cross in the end; leaving below 10% conditional power loses at most 2 of 100."""
    drift = PLAN[-1].bound + stats.norm.ppf(0.9)
    z = scores(PLAN, drift, seed=2)
    shown = z > [look.bound for look in PLAN]
    power = np.array(
        [[conditional_power(v, look, PLAN[-1], drift) for look in PLAN[:-1]] for v in np.linspace(0, 5, 501)]
    )
    futile = np.zeros_like(shown)
    for index, column in enumerate(power.T):
        futile[:, index] = np.interp(np.abs(z[:, index]), np.linspace(0, 5, 501), column) < 0.1
    stopped = np.where(futile.any(axis=1), futile.argmax(axis=1), len(PLAN))
    first = np.where(shown.any(axis=1), shown.argmax(axis=1), len(PLAN) + 1)
    assert shown.any(axis=1).mean() > 0.9
    assert shown.any(axis=1).mean() - (first <= stopped).mean() < 0.02


def test_decisions():
    assert decide(0.1, 0.0005, 5, PLAN) == "stop: higher"
    assert decide(-0.1, 0.0005, 5, PLAN) == "stop: lower"
    assert decide(0.1, 0.02, 5, PLAN) == "go on"  # below .05, above this look's level
    assert decide(0.0, 1.0, 9, PLAN) == "stop: futile"
    assert decide(0.1, 0.03, 12, PLAN) == "stop: higher"
    assert decide(0.1, 0.05, 12, PLAN) == "end: no difference shown"


def test_levels_are_the_boundaries_p_values():
    for look in PLAN:
        assert look.level == pytest.approx(2 * stats.norm.sf(look.bound))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 1, "most": 5}, "start = 1"),
        ({"start": 6, "most": 5}, "most = 5"),
        ({"start": 5, "most": 9, "alpha": 0.0}, "alpha = 0.0"),
    ],
)
def test_impossible_looks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        looks(**arguments)


def test_impossible_fractions_and_decisions_are_refused():
    with pytest.raises(ValueError, match="must rise"):
        boundaries([0.5, 0.5])
    with pytest.raises(ValueError, match="no look after 4"):
        decide(0.1, 0.5, 4, PLAN)
    with pytest.raises(ValueError, match=r"p = 1\.5"):
        decide(0.1, 1.5, 5, PLAN)


@pytest.mark.parametrize("world", [World(12, 60), World(12, 250, per_cluster=10), World(12, 80, flips=0.0)])
def test_looking_after_each_replicate_finds_no_difference_where_there_is_none(world: World):
    """400 worlds of crossed replicates and questions: a true 5% gives at most 8.5% in 999 of 1,000 suites."""
    random = np.random.default_rng(3)
    ends = [world.ended(random, PLAN)[0] for _ in range(400)]
    assert sum(decision in ("stop: higher", "stop: lower") for decision in ends) / 400 < 0.085
