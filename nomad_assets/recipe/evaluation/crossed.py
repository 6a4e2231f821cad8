"""How sure the difference of two recipes is, when both ran several times and answered the same questions.

Worked example: five replicates, four questions. The paired differences (a − b) of the replicates are 1 0 1 0, 1 1 0 0,
1 0 1 0, 1 1 1 1 and 1 0 0 −1. Replicate means are .5 .5 .5 1 0, their variance is .125: replicates contribute
V_R = .125 / 5 = .025. Question means are 1 .4 .6 0, their variance is .1733: questions contribute V_C = .1733 / 4 =
.0433. What neither explains, V_E = .01, is in both, so it is subtracted once: V = .0583, a standard error of 0.24 with
4.3 degrees of freedom. The interval is 0.5 ± 2.70 · 0.24 = −0.15 to 1.15: "no difference shown".

Replicates and questions are both samples: another run, or other questions, would give another mean. Resampling
questions alone leaves V_R out, and more questions then make a wrong verdict more likely. V = V_R + V_C − V_E is the
two-way clustered variance of Cameron, Gelbach and Miller (Robust Inference with Multiway Clustering, J. Business &
Economic Statistics 29, 2011, formula 2.3), never taken smaller than V_R or V_C. Degrees of freedom are Satterthwaite's
(Biometrics Bulletin 2, 1946). Questions of one template count as one case, the cluster: V_C then is a variance over
clusters (Miller, Adding Error Bars to Evals, arXiv:2411.00640, section 2.2), corrected for clusters of unequal size.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from nomad_assets.recipe.evaluation.components import (
    Components,
    checked_differences,
    columns_of,
    components,
    replicate_means,
)
from nomad_assets.recipe.evaluation.statistics import ROUNDING

RecipeVerdict = Literal[
    "higher", "lower", "no difference shown",
    "open: one replicate", "open: too few replicates", "open: too few clusters",
]  # fmt: skip

FEWEST_REPLICATES = 5
"""Fewest replicates for a verdict on a recipe; with fewer, the spread of runs is itself hardly known."""
EXACT_REPLICATES = 16
"""Up to here all sign flips are tried (32,768 by symmetry)."""
DRAWN_FLIPS = 20_000


@dataclass(frozen=True)
class CrossedDifference:
    """The mean of a − b over replicates × questions, its interval, and what it shows about the two recipes.

    `mean`, `low`, `high`, `standard_error` and `run_sd` have the unit of the differences. Everything that needs a
    variance is None with one replicate, or where a benchmark has one cluster; `missing` then says what would help.
    """

    mean: float
    low: float | None
    high: float | None
    questions: int
    clusters: int
    replicates: int
    differing: int
    """Questions on which a and b differ in any replicate."""
    standard_error: float | None
    degrees_of_freedom: float | None
    p: float | None
    """Two-sided, of Student's t; at least 2 · 2^-`differing` (the sign test)."""
    permutation_p: float | None
    """Two-sided, from flipping the signs of whole replicates: about these very questions, not about others."""
    run_sd: float | None
    """SD over replicates of the true difference; the noise of single answers is taken out."""
    verdict: RecipeVerdict
    missing: str | None
    """A sentence on what a verdict would need; None when there is one."""


@dataclass(frozen=True)
class Equivalence:
    """Whether a and b differ by less than `margin`, either way (two one-sided tests, TOST).

    `low` to `high` is the interval of confidence 1 − 2 · alpha that must lie within ±margin.
    """

    margin: float
    low: float | None
    high: float | None
    p: float | None
    shown: bool


def crossed_difference(
    differences: np.ndarray,
    *,
    clusters: Sequence[Hashable] | np.ndarray | None = None,
    benchmarks: Sequence[Hashable] | np.ndarray | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> CrossedDifference:
    """Difference of two recipes from paired replicates on the same questions.

    `differences` has shape (replicates, questions): a − b of the same replicate and question. `clusters` (questions,)
    names the template or form of each question, None for one of its own; `benchmarks` (questions,) its
    benchmark, each of which weighs the same. Equal cluster names in two benchmarks are two clusters. `seed` matters
    only above EXACT_REPLICATES replicates. Raises ValueError on a wrong shape, a missing or infinite value, labels that
    do not match, or a confidence outside 0 to 1.
    """
    values = checked_differences(differences)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence}: must lie between 0 and 1")
    groups = columns_of(values.shape[1], clusters, benchmarks)
    by_replicate = replicate_means(values, groups)
    mean = float(by_replicate.mean())
    replicates, questions = values.shape
    size = {"questions": questions, "clusters": sum(len(g.starts) for g in groups), "replicates": replicates}
    differing = int((np.abs(values) > ROUNDING).any(axis=0).sum())
    missing = missing_for_verdict(replicates, min(len(g.starts) for g in groups))
    if replicates < 2 or min(len(g.starts) for g in groups) < 2:
        verdict: RecipeVerdict = "open: one replicate" if replicates < 2 else "open: too few clusters"
        return CrossedDifference(
            mean, None, None, **size, differing=differing, standard_error=None, degrees_of_freedom=None, p=None,
            permutation_p=None, run_sd=None, verdict=verdict, missing=missing,
        )  # fmt: skip
    parts = components(values, groups)
    error, freedom = _standard_error(parts, replicates)
    low, high, p = _student(mean, error, freedom, confidence)
    # Fewer differing questions than the sign test needs settle nothing, however small their variance.
    sign_p = min(1.0, 2.0 * 0.5**differing)
    if sign_p > 1 - confidence + ROUNDING:
        low, high, p = min(low, 0.0), max(high, 0.0), max(p, sign_p)
    verdict = "higher" if low > 0 else "lower" if high < 0 else "no difference shown"
    run_variance = max(0.0, (parts.replicates - parts.crossing) * replicates)
    return CrossedDifference(
        mean, low, high, **size, differing=differing, standard_error=error, degrees_of_freedom=freedom, p=p,
        permutation_p=sign_flip_p(by_replicate, seed=seed), run_sd=run_variance**0.5,
        verdict="open: too few replicates" if missing else verdict, missing=missing,
    )  # fmt: skip


def missing_for_verdict(replicates: int, clusters: int = 2) -> str | None:
    """What is missing for a verdict on a recipe, or None; `clusters` is the fewest that a benchmark has."""
    if clusters < 2:
        return "A benchmark has questions of one cluster only: one case cannot show how cases differ."
    if replicates >= FEWEST_REPLICATES:
        return None
    more = FEWEST_REPLICATES - replicates
    what = "another run could give another answer" if replicates == 1 else "how much runs differ is hardly known"
    return f"{more} more replicate{'s' if more > 1 else ''}: with {replicates} of {FEWEST_REPLICATES}, {what}."


def equivalence(found: CrossedDifference, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Two one-sided tests that |a − b| < `margin` (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987).

    Never shown without a verdict's replicates, nor where so few questions differ that their variance says nothing.
    Raises ValueError when `margin` is not positive or `alpha` not between 0 and 0.5.
    """
    if not margin > 0:
        raise ValueError(f"margin = {margin}: must be positive")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha}: must lie between 0 and 0.5")
    if found.standard_error is None or found.degrees_of_freedom is None:
        return Equivalence(margin, None, None, None, False)
    low, high, _ = _student(found.mean, found.standard_error, found.degrees_of_freedom, 1 - 2 * alpha)
    if 2.0 * 0.5**found.differing > alpha:
        return Equivalence(margin, low, high, None, False)
    from scipy.special import stdtr

    if found.standard_error > ROUNDING:
        p = float(stdtr(found.degrees_of_freedom, (abs(found.mean) - margin) / found.standard_error))
    else:
        p = float(abs(found.mean) >= margin)
    return Equivalence(margin, low, high, p, found.missing is None and p < alpha)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values of several comparisons, in the order given (Holm, Scandinavian J. of Statistics 6, 1979).

    Those below alpha are shown, with a chance of at most alpha that any of them is wrong. Raises ValueError on a
    p-value outside 0 to 1.
    """
    if not all(0 <= p <= 1 for p in ps):
        raise ValueError(f"p-values must lie between 0 and 1: {list(ps)}")
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def sign_flip_p(means: np.ndarray, *, seed: int = 0) -> float:
    """Two-sided p-value that replicate means are symmetric around zero: the share of sign flips at least as extreme.

    `means` has shape (replicates,). Exact up to EXACT_REPLICATES, where 2 / 2^replicates is the least possible;
    above, DRAWN_FLIPS flips are drawn and the one observed is counted among them.
    """
    if len(means) <= EXACT_REPLICATES:
        flipped = np.abs(_signs(len(means)) @ means)
        return float(np.mean(flipped >= abs(means.sum()) - ROUNDING))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (DRAWN_FLIPS, len(means)))
    return float((1 + np.sum(np.abs(signs @ means) >= abs(means.sum()) - ROUNDING)) / (1 + DRAWN_FLIPS))


def _standard_error(parts: Components, replicates: int) -> tuple[float, float]:
    variance = max(parts.replicates, parts.clusters, parts.replicates + parts.clusters - parts.crossing)
    spread = (
        parts.replicates**2 / (replicates - 1)
        + parts.clusters**2 / parts.cluster_df
        + parts.crossing**2 / parts.crossing_df
    )
    # Never fewer than the poorer of the two samples has by itself.
    least = min(replicates - 1, parts.cluster_df)
    return variance**0.5, max(variance**2 / spread, least) if spread > 0 else least


def _student(mean: float, error: float, freedom: float, confidence: float) -> tuple[float, float, float]:
    from scipy.special import stdtr, stdtrit  # takes a while to import

    if error <= ROUNDING:
        return mean, mean, float(abs(mean) <= ROUNDING)
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return mean - reach, mean + reach, float(2 * stdtr(freedom, -abs(mean) / error))


@lru_cache(maxsize=8)
def _signs(replicates: int) -> np.ndarray:
    """All sign flips with the first sign kept, since flipping all gives the same |sum|; shape (2^(R − 1), R)."""
    numbers = np.arange(2 ** (replicates - 1))[:, None]
    return 1.0 - 2.0 * (numbers >> np.arange(replicates) & 1)
