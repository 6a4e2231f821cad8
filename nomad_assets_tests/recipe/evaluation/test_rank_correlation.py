"""Rank correlations: the worked example by hand, scipy's number, and no number where it would mean nothing."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from nomad_assets.recipe.evaluation.rank_correlation import rank_correlation

SIX = [1, 2, 3, 4, 5, 6]


def test_the_worked_example():
    """z = 1.764, give or take 1.96 * sqrt(1.444 / 3) = 1.360: tanh of 0.403 and 3.124."""
    found = rank_correlation(SIX, [1, 2, 3, 4, 6, 5])
    assert found.r == pytest.approx(1 - 12 / 210) and found.n == 6
    assert (found.low, found.high) == pytest.approx((0.383, 0.996), abs=1e-3)


def test_only_the_order_counts():
    values = np.random.default_rng(0).normal(size=(2, 20))
    found = rank_correlation(*values)
    assert found.r == pytest.approx(spearmanr(*values).statistic)
    assert rank_correlation(np.exp(values[0]), values[1]) == found


def test_a_perfect_order_has_an_interval_that_is_no_point():
    up, down = rank_correlation(SIX, SIX), rank_correlation(SIX, SIX[::-1])
    assert up.r == up.high == pytest.approx(1) and 0.38 < up.low < 0.39
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low))


def test_too_few_pairs_or_one_value_alone_give_no_number():
    assert rank_correlation(SIX[:5], SIX[:5]) is None
    assert rank_correlation(SIX, [0.3] * 6) is None


def test_what_does_not_align_is_refused():
    with pytest.raises(ValueError, match="must align"):
        rank_correlation(SIX, SIX[:5])
    with pytest.raises(ValueError, match="not finite"):
        rank_correlation(SIX, [*SIX[:5], float("nan")])


def test_intervals_cover_the_truth_about_as_often_as_they_claim():
    """400 samples of 15 pairs without a correlation: 95% intervals hold 0 in 91 to 98 of 100."""
    generator = np.random.default_rng(3)
    samples = [rank_correlation(*generator.normal(size=(2, 15))) for _ in range(400)]
    assert 0.91 <= np.mean([found.low <= 0 <= found.high for found in samples]) <= 0.98
