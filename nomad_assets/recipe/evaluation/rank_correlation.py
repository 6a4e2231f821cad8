"""Whether two figures put the same things in the same order.

Worked example: of six corpora, the one with the most right rows made the best student, the second the second best, and so on,
but for the last two, which changed places: the squared differences of rank sum to 2, and Spearman's correlation is
1 - 6 * 2 / (6 * 35) = 0.94. Six pairs say little: its 95% interval reaches from 0.38 to 0.996.

The interval is Fisher's z with the standard error of Bonett and Wright (Sample size requirements for estimating Pearson, Kendall
and Spearman correlations, Psychometrika 65, 2000): sqrt((1 + r²/2) / (n - 3)).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 6
"""Below this many pairs no correlation is given: of five pairs, one order in 60 is a perfect one, up or down, by luck."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of `n` pairs, -1 to 1, with its 95% interval."""

    r: float
    low: float
    high: float
    n: int


def rank_correlation(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> RankCorrelation | None:
    """Of aligned values, each of shape (n,); None with fewer than `FEWEST` pairs, or where one side has one value alone.

    Raises ValueError on different lengths or a value that is not finite.
    """
    from scipy.stats import norm, spearmanr  # takes a second to import

    left, right = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"paired values must align: shapes {left.shape} and {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a value is not finite")
    n = len(left)
    if n < FEWEST or (left == left[0]).all() or (right == right[0]).all():
        return None
    r = float(spearmanr(left, right).statistic)
    # A perfect order has no finite z: its interval is that of the order with two neighbours exchanged, and holds the order itself.
    nearest = 1 - 12 / (n * (n**2 - 1))
    centre = float(np.clip(r, -nearest, nearest))
    reach = float(norm.ppf(0.975)) * np.sqrt((1 + centre**2 / 2) / (n - 3))
    low, high = (float(np.tanh(np.arctanh(centre) + side * reach)) for side in (-1, 1))
    return RankCorrelation(r, min(low, r), max(high, r), n)
