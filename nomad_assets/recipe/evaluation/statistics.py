"""How sure a score is, and how sure a difference between two students is.

Worked example: two students answered the same eight questions, one is right on all, the other on none. The paired
difference is 1.0 on every question, every resample of the eight has mean 1.0, so the interval is 1.0 to 1.0 and the
verdict is "higher". With only three such questions the verdict is "no difference shown": see `settling_questions`.

The rule is the percentile bootstrap over questions (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13): draw as many questions with replacement as there are, take the mean, repeat, and read the interval off
the quantiles of those means. A paired difference resamples the per-question differences, so the difficulty of a
question, which both students share, cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["higher", "lower", "no difference shown"]

BLOCK = 2_000_000
"""Most values drawn at once: 16 MB of indices and as much of values, whatever the number of questions."""
ROUNDING = 1e-12
"""A difference below this is floating-point residue of averaging, not a difference."""


@dataclass(frozen=True)
class Interval:
    """A mean over `n` questions with its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of a − b over `n` questions with its confidence interval, and what it shows."""

    mean: float
    low: float
    high: float
    n: int
    verdict: Verdict


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of the mean over questions.

    `values` has shape (questions,). One question, or questions that all have one value, give an interval of width
    zero. Raises ValueError when there is no value or one that is not finite.
    """
    sample = _checked(values)
    means = _resampled_means(sample, resamples, np.random.default_rng(seed))
    low, high = _percentiles(means, confidence)
    return Interval(_mean(sample), low, high, len(sample))


def mean_interval(values: Sequence[float] | np.ndarray, *, resamples: int, seed: int) -> Interval:
    """The mean over questions with its 95% interval: Wilson's of right-or-wrong scores, else the percentile bootstrap.

    None of 30 right is 0.0% with the interval 0.0 to 11.4%, where the bootstrap says 0.0 to 0.0.
    `values` has shape (questions,). Raises ValueError as `bootstrap_interval` does.
    """
    sample = _checked(values)
    if not np.isin(sample, (0.0, 1.0)).all():
        return bootstrap_interval(sample, resamples=resamples, seed=seed)
    return share_interval(int(sample.sum()), len(sample))


def share_interval(count: int, n: int) -> Interval:
    """The share `count` of `n` with Wilson's 95% interval. Raises ValueError unless 0 <= count <= n and n > 0."""
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(count, n).proportion_ci(0.95, "wilson")
    return Interval(count / n, float(found.low), float(found.high), n)


def stratified_bootstrap(
    differences: Sequence[np.ndarray], *, resamples: int, seed: int, confidence: float = 0.95
) -> Difference:
    """Pool paired differences over benchmarks: each benchmark weighs the same, questions are resampled within it.

    `differences` holds one array of shape (questions,) a benchmark. When fewer than `settling_questions` questions
    differ at all, the interval is extended to zero: the percentile bootstrap is too narrow there.
    Raises ValueError when a benchmark is empty, has a value that is not finite, or there is none.
    """
    if not differences:
        raise ValueError("nothing to compare: no benchmark given")
    strata = [_checked(values) for values in differences]
    generator = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for values in strata:
        means += _resampled_means(values, resamples, generator) / len(strata)
    low, high = _percentiles(means, confidence)
    differing = sum(int(np.count_nonzero(np.abs(values) > ROUNDING)) for values in strata)
    if differing < settling_questions(confidence):
        low, high = min(low, 0.0), max(high, 0.0)
    verdict: Verdict = "higher" if low > 0 else "lower" if high < 0 else "no difference shown"
    mean = float(np.mean([_mean(values) for values in strata]))
    return Difference(mean, low, high, sum(len(values) for values in strata), verdict)


def settling_questions(confidence: float = 0.95) -> int:
    """Fewest questions that must differ before any verdict: six at 95%.

    By the two-sided sign test, k differing questions that all favour one side have p = 2 · 2^-k; below six that is
    over 0.05, so no arrangement of them is evidence at 95%, while the percentile bootstrap would call four of a
    hundred "higher".
    """
    return int(np.ceil(np.log2(2.0 / (1.0 - confidence)) - ROUNDING))


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected one value a question, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(array))} of {array.size} values are not finite")
    return array


def _mean(values: np.ndarray) -> float:
    # The mean of equal values must be that value, or a constant's interval would miss its own mean by a rounding.
    return float(values[0]) if (values == values[0]).all() else float(values.mean())


def _resampled_means(values: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Means of `resamples` draws of len(values) values with replacement; shape (resamples,).

    scipy draws question by question. Right-or-wrong scores have two or three distinct values: for those, drawing how
    often each occurs is the same distribution at a hundredth of the work, which scipy has no way to do. Pooled
    benchmarks are each drawn here, and not by scipy's bootstrap of several samples, so that each takes its own way.
    """
    if resamples < 1:
        raise ValueError(f"resamples = {resamples}: at least 1 is needed")
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        return np.full(resamples, distinct[0])
    if len(distinct) * 8 > len(values):
        from scipy.stats import bootstrap  # takes a second to import

        batch = max(1, BLOCK // len(values))
        return bootstrap(
            (values,), np.mean, n_resamples=resamples, method="percentile", batch=batch, rng=generator
        ).bootstrap_distribution
    means = np.empty(resamples)
    rows = max(1, BLOCK // len(distinct))
    for start in range(0, resamples, rows):
        block = min(rows, resamples - start)
        drawn = generator.multinomial(len(values), counts / len(values), size=block)
        means[start : start + block] = drawn @ distinct / len(values)
    return means


def _percentiles(means: np.ndarray, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence}: must lie between 0 and 1")
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
