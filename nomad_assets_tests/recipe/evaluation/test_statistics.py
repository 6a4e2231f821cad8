"""Intervals and differences: exact where a hand can compute them, simulated where not."""

import numpy as np
import pytest
from scipy import stats

from nomad_assets.recipe.evaluation.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    mean_interval,
    settling_questions,
    share_interval,
    stratified_bootstrap,
)


def paired(a, b, resamples: int, seed: int = 0) -> Difference:
    """Of two students on the same questions."""
    return stratified_bootstrap([np.asarray(a) - np.asarray(b)], resamples=resamples, seed=seed)


def test_equal_values_have_an_interval_of_width_zero():
    assert bootstrap_interval([0.1] * 7, resamples=50, seed=0) == Interval(0.1, 0.1, 0.1, 7)
    assert bootstrap_interval([0.0], resamples=50, seed=0) == Interval(0.0, 0.0, 0.0, 1)


def test_two_questions_by_hand():
    """Means of two draws from {0, 1} are 0, 1/2, 1 with chances 1/4, 1/2, 1/4: the 2.5% ends are 0 and 1."""
    assert bootstrap_interval([0.0, 1.0], resamples=500, seed=1) == Interval(0.5, 0.0, 1.0, 2)
    # At 40% the ends are the 30% and 70% quantiles, both in the middle half.
    assert bootstrap_interval([0.0, 1.0], resamples=500, seed=1, confidence=0.4) == Interval(0.5, 0.5, 0.5, 2)


def test_shares_follow_the_binomial():
    """30 right of 100: the 2.5% and 97.5% quantiles of Binomial(100, 0.3) are 21 and 39."""
    interval = bootstrap_interval([1.0] * 30 + [0.0] * 70, resamples=20_000, seed=2)
    assert (interval.mean, interval.n) == (pytest.approx(0.3), 100)
    assert interval.low == pytest.approx(0.21, abs=0.0101) and interval.high == pytest.approx(0.39, abs=0.0101)


def test_drawing_counts_and_drawing_questions_agree(monkeypatch):
    values = np.array([0.0] * 60 + [1.0] * 40)
    nearly = values + np.linspace(0, 1e-9, 100)  # all distinct: drawn one by one, in several blocks
    monkeypatch.setattr("nomad_assets.recipe.evaluation.statistics.BLOCK", 1000)
    by_count = bootstrap_interval(values, resamples=8000, seed=3)
    by_question = bootstrap_interval(nearly, resamples=8000, seed=3)
    assert by_count.low == pytest.approx(by_question.low, abs=0.0101)
    assert by_count.high == pytest.approx(by_question.high, abs=0.0101)


def test_pooling_benchmarks_agrees_with_scipys_bootstrap_of_several_samples():
    generator = np.random.default_rng(8)
    strata = [generator.choice([-1.0, 0.0, 1.0], 80, p=[0.1, 0.6, 0.3]), generator.normal(0.2, 1, 50)]
    ours = stratified_bootstrap(strata, resamples=20_000, seed=0)
    scipys = stats.bootstrap(
        strata, lambda a, b, axis: (a.mean(axis) + b.mean(axis)) / 2, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(tuple(scipys), abs=0.01)


def test_a_seed_gives_the_same_interval_for_ever():
    """Stored scores and reports hold these numbers: another library or another order of drawing must not move them."""
    by_question = bootstrap_interval(np.arange(40) ** 2 / 8, resamples=1000, seed=9)
    by_count = bootstrap_interval([1.0] * 13 + [0.0] * 27, resamples=1000, seed=9)
    assert (by_question.low, by_question.high) == pytest.approx((48.1084375, 83.191796875), rel=1e-12)
    assert (by_count.low, by_count.high) == pytest.approx((0.2, 0.475), rel=1e-12)


def test_the_seed_decides():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(values, resamples=300, seed=4) == bootstrap_interval(values, resamples=300, seed=4)
    assert bootstrap_interval(values, resamples=300, seed=4) != bootstrap_interval(values, resamples=300, seed=5)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")], [[1.0], [2.0]]])
def test_what_is_not_a_list_of_numbers_is_refused(values):
    with pytest.raises(ValueError):
        bootstrap_interval(values, resamples=10, seed=0)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0, 2.0], resamples=0, seed=0)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([1.0, 2.0], resamples=10, seed=0, confidence=1.0)
    with pytest.raises(ValueError, match="no benchmark"):
        stratified_bootstrap([], resamples=10, seed=0)


def test_a_constant_difference():
    assert paired([1.0] * 8, [0.0] * 8, 50) == Difference(1.0, 1.0, 1.0, 8, "higher")
    assert paired([0.0] * 8, [1.0] * 8, 50) == Difference(-1.0, -1.0, -1.0, 8, "lower")
    none = paired([0.3] * 8, [0.1 + 0.2] * 8, 50)
    assert none.verdict == "no difference shown"


def test_a_handful_of_questions_settles_nothing():
    """By the sign test five agreeing questions have p = 2/32 = 0.0625, six have 2/64 = 0.031."""
    assert settling_questions(0.95) == 6 and settling_questions(0.99) == 8
    b = np.zeros(100)
    five, six = np.repeat([1.0, 0.0], [5, 95]), np.repeat([1.0, 0.0], [6, 94])
    assert paired(five, b, 2000).verdict == "no difference shown"
    assert paired(five, b, 2000).low == 0.0
    assert paired(six, b, 2000).verdict == "higher"
    assert paired([1.0], [0.0], 10) == Difference(1.0, 0.0, 1.0, 1, "no difference shown")


def test_pairing_removes_what_questions_share():
    """Two students that differ by little on questions that differ by much: only the pairs can show it."""
    generator = np.random.default_rng(6)
    difficulty = generator.normal(0, 5, 200)
    a = difficulty + 0.3 + generator.normal(0, 0.1, 200)
    found = paired(a, difficulty, 1000)
    assert found.verdict == "higher" and found.mean == pytest.approx(0.3, abs=0.03)
    alone = bootstrap_interval(a, resamples=1000, seed=0), bootstrap_interval(difficulty, resamples=1000, seed=0)
    assert alone[0].low < alone[1].high


def test_benchmarks_weigh_the_same():
    """Ten questions at +1 and thirty at 0: the mean over benchmarks is 0.5, over questions it would be 0.25."""
    pooled = stratified_bootstrap([np.ones(10), np.zeros(30)], resamples=50, seed=0)
    assert pooled == Difference(0.5, 0.5, 0.5, 40, "higher")


def test_intervals_cover_the_truth_about_as_often_as_they_claim():
    """400 samples of 60 questions with 40% right and paired nulls: 95% intervals cover in 91 to 98 of 100."""
    generator = np.random.default_rng(7)
    covered = kept_null = 0
    for seed in range(400):
        right = (generator.random(60) < 0.4).astype(float)
        interval = bootstrap_interval(right, resamples=400, seed=seed)
        covered += interval.low <= 0.4 <= interval.high
        other = (generator.random(60) < 0.4).astype(float)
        kept_null += paired(right, other, 400, seed).verdict == "no difference shown"
    assert 0.91 <= covered / 400 <= 0.98
    assert 0.91 <= kept_null / 400 <= 0.98


def test_right_or_wrong_scores_have_wilsons_interval():
    none = mean_interval([0.0] * 30, resamples=50, seed=0)
    assert (none.mean, none.low, none.n) == (0.0, 0.0, 30) and none.high == pytest.approx(0.1135, abs=1e-3)
    every = mean_interval([1.0] * 30, resamples=50, seed=0)
    assert every.high == 1.0 and every.low == pytest.approx(1 - none.high)
    assert mean_interval([0.5, 1.0], resamples=50, seed=0) == bootstrap_interval([0.5, 1.0], resamples=50, seed=0)


def test_a_share_of_counts_has_wilsons_interval():
    """12 of 20, by hand: (12.0 + 1.9207) / (20 + 3.8415) = 0.5839, give or take 0.2028."""
    found = share_interval(12, 20)
    assert (found.mean, found.n) == (0.6, 20) and (found.low, found.high) == pytest.approx((0.3866, 0.7812), abs=1e-4)
    with pytest.raises(ValueError):
        share_interval(0, 0)
