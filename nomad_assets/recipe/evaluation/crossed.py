"""The difference of two recipes over replicates and questions, and what it shows.

Every replicate answers the same questions, so a paired difference has luck of three kinds: of the replicate (its seeds, training
and sampling), of the question (what is easy for one of the two), and of the two together. Questions that share a template are
one draw: a model that has learned it gets them all right.

Worked example: five replicates, forty questions, each replicate ahead by 10 points whatever the question. The replicates agree,
the questions agree, the interval is narrow and the verdict "higher". Where the five are ahead by 40, 20, 0, -20 and 10 points,
the mean is the same, and the interval reaches from -18 to +38: "no difference shown". Resampling questions alone would call
both a success, and is wrong in 3 to 64 of 100 worlds without a difference (benchmarks/README.md).

The model is the two-way random-effects analysis of variance (Searle, Casella and McCulloch, Variance Components, 1992,
chapter 4), each benchmark weighing the same, with the sums over questions taken by cluster (Cameron, Gelbach and Miller, Robust
Inference with Multiway Clustering, 2011): Var(mean) = V_replicates + V_clusters - V_both, since the luck of the two together
is in both of the others. Degrees of freedom are Satterthwaite's, quantiles Student's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nomad_assets.recipe.evaluation.statistics import settling_questions

if TYPE_CHECKING:
    import polars as pl

FEWEST_REPLICATES = 5
"""Below this a verdict on a recipe stays open: a sign-flip test of four replicates cannot reach p < 0.1."""
MOST_FLIPS = 2**14
"""Sign flips that are all counted; with more replicates as many are drawn."""
CONFIDENCE = 0.95
ROUNDING = 1e-12

Verdict = Literal["higher", "lower", "no difference shown", "open"]


@dataclass(frozen=True)
class Crossed:
    """The mean of a - b with its interval, in the unit of the values, and what it shows of the recipes."""

    mean: float
    low: float
    high: float
    n: int
    """Questions."""
    clusters: int
    replicates: int
    error: float
    """Standard error of the mean; of one replicate, over the choice of questions alone."""
    freedom: float
    """Degrees of freedom of the interval."""
    p: float | None
    """Two-sided, that there is no difference; None with one replicate."""
    p_flips: float | None
    """The same by flipping the signs of whole replicates, which assumes nothing of their distribution."""
    run_deviation: float | None
    """Standard deviation of the difference between replicates."""
    verdict: Verdict
    """With one replicate of these two models, with fewer than FEWEST_REPLICATES "open"."""


def crossed(
    differences: np.ndarray, clusters: Sequence[str], strata: Sequence[str], confidence: float = CONFIDENCE
) -> Crossed:
    """The paired difference of two recipes.

    `differences` has shape (replicates, questions); `clusters` and `strata` name the cluster and the benchmark of each question.
    Raises ValueError on another shape, no question, or a value that is not finite.
    """
    from scipy.stats import t as student  # takes a second to import

    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.size == 0 or len(clusters) != d.shape[1] or len(strata) != d.shape[1]:
        raise ValueError(f"expected (replicates, questions) with a cluster and a stratum each, got shape {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(d))} of {d.size} values are not finite")
    replicates, questions = d.shape
    weights, of_stratum = _weights(strata)
    by_replicate = d @ weights
    mean = float(by_replicate.mean())
    sums, factors = _cluster_sums(d, weights, of_stratum, clusters, strata)  # (replicates, clusters), (clusters,)
    of_clusters = float((factors * sums.mean(axis=0) ** 2).sum())
    counts = sums.shape[1]
    if replicates == 1:
        variance, freedom = of_clusters, float(max(counts - len(set(strata)), 1))
    else:
        of_replicates = float(by_replicate.var(ddof=1)) / replicates
        apart = sums - sums.mean(axis=0)
        both = float((factors * (apart**2).sum(axis=0)).sum()) / (replicates * (replicates - 1))
        variance, freedom = _together(of_replicates, of_clusters, both, replicates, counts - len(set(strata)))
    error = float(np.sqrt(variance))
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * error
    low, high = mean - reach, mean + reach
    p = None
    if replicates > 1:
        p = float(2 * student.sf(abs(mean) / error, freedom)) if error > 0 else float(abs(mean) <= ROUNDING)
    if replicates == 1 and np.count_nonzero(np.abs(d) > ROUNDING) < settling_questions(confidence):
        low, high = min(low, 0.0), max(high, 0.0)
    shows: Verdict = "higher" if low > ROUNDING else "lower" if high < -ROUNDING else "no difference shown"
    return Crossed(
        mean, low, high, questions, counts, replicates, error, freedom, p, sign_flips(by_replicate),
        float(by_replicate.std(ddof=1)) if replicates > 1 else None,
        "open" if 1 < replicates < FEWEST_REPLICATES else shows,
    )  # fmt: skip


def crossed_gaps(gaps: "pl.DataFrame") -> Crossed | None:
    """The same of a table of differences: benchmark, question_id, cluster, replicate, gap. None when no question was answered in
    every replicate."""
    names = ["benchmark", "question_id", "cluster"]
    wide = gaps.pivot("replicate", index=names, values="gap", maintain_order=True).drop_nulls()
    if wide.is_empty():
        return None
    return crossed(wide.drop(names).to_numpy().T, wide["cluster"].to_list(), wide["benchmark"].to_list())


def _weights(strata: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each question, so that benchmarks weigh the same; and the number of its benchmark."""
    names, of_stratum, counts = np.unique(
        np.asarray(strata, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    return 1.0 / (len(names) * counts[of_stratum]), of_stratum


def _cluster_sums(
    d: np.ndarray, weights: np.ndarray, of_stratum: np.ndarray, clusters: Sequence[str], strata: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of each cluster about its benchmark's mean, by replicate; and the small-sample factor of each cluster."""
    pairs = np.asarray([f"{stratum}\0{cluster}" for stratum, cluster in zip(strata, clusters, strict=True)])
    _, first, of_cluster = np.unique(pairs, return_index=True, return_inverse=True)
    means = np.stack([d[:, of_stratum == s].mean(axis=1) for s in range(of_stratum.max() + 1)], axis=1)
    centred = (d - means[:, of_stratum]) * weights
    sums = np.stack([np.bincount(of_cluster, row, minlength=len(first)) for row in centred])
    stratum_of_cluster = of_stratum[first]
    many = np.bincount(stratum_of_cluster)[stratum_of_cluster]
    # A benchmark of one cluster says nothing of how clusters differ; it counts as if it had two.
    return sums, np.where(many > 1, many / np.maximum(many - 1, 1), 2.0)


def _together(
    of_replicates: float, of_clusters: float, both: float, replicates: int, free_clusters: int
) -> tuple[float, float]:
    """(variance of the mean, degrees of freedom). The estimate may not fall below either luck alone."""
    free = max(free_clusters, 1)
    variance = max(of_replicates + of_clusters - both, of_replicates, of_clusters)
    if variance <= 0:
        return 0.0, float(replicates - 1)
    spread = of_replicates**2 / (replicates - 1) + of_clusters**2 / free + both**2 / ((replicates - 1) * free)
    freedom = variance**2 / spread if spread > 0 else float(replicates - 1)
    # Never more than the larger of the two allows, never less than the smaller.
    return variance, float(np.clip(freedom, min(replicates - 1, free), max(replicates - 1, free)))


def sign_flips(by_replicate: np.ndarray, seed: int = 0) -> float | None:
    """Two-sided p of a sign-flip permutation test over replicates; None with fewer than two. `by_replicate` are differences."""
    values = np.asarray(by_replicate, dtype=np.float64)
    count = len(values)
    if count < 2:
        return None
    if 2**count <= MOST_FLIPS:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - ROUNDING))
    signs = np.random.default_rng(seed).choice((-1, 1), size=(MOST_FLIPS, count))
    hits = np.count_nonzero(np.abs(signs @ values) >= abs(values.sum()) - ROUNDING)
    return (hits + 1) / (MOST_FLIPS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p of several comparisons (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    order = np.argsort(ps, kind="stable")
    adjusted = np.maximum.accumulate([min(1.0, (len(ps) - place) * ps[i]) for place, i in enumerate(order)])
    found = np.empty(len(ps))
    found[order] = adjusted
    return found.tolist()


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests: whether a difference lies within a margin of zero (Schuirmann 1987)."""

    margin: float
    p: float
    """The larger of the two."""

    @property
    def shown(self) -> bool:
        """Exactly where the 95% interval lies wholly within the margin, so that nobody reads one thing and is told another:
        half the level of the usual TOST, whose interval is the 90% one."""
        return self.p < (1 - CONFIDENCE) / 2


def equivalence(found: Crossed, margin: float) -> Equivalence | None:
    """None with one replicate. Raises ValueError unless `margin`, in the unit of the values, is above 0."""
    from scipy.stats import t as student

    if margin <= 0:
        raise ValueError(f"margin = {margin}: must be above 0")
    if found.replicates == 1:
        return None
    if found.error == 0:
        return Equivalence(margin, 0.0 if abs(found.mean) < margin else 1.0)
    below = student.sf((found.mean + margin) / found.error, found.freedom)
    above = student.sf((margin - found.mean) / found.error, found.freedom)
    return Equivalence(margin, float(max(below, above)))
