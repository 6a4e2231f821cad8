"""Where the variance of a mean paired difference comes from: replicates, clusters of questions, and their crossing.

Worked example: `crossed.py` has one. With a model d[r, q] = mean + run[r] + question[q] + rest[r, q], R replicates and n
questions, V_R = run² / R + E and V_C = question² / n + E on average, where E = rest² / (nR) is what V_E estimates.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from nomad_assets.recipe.evaluation.statistics import ROUNDING


class Components(NamedTuple):
    """Variances of the mean difference, each with its degrees of freedom: replicates, clusters, and their crossing."""

    replicates: float
    clusters: float
    crossing: float
    cluster_df: float
    crossing_df: float


class BenchmarkColumns(NamedTuple):
    """The columns of one benchmark, sorted by cluster."""

    columns: np.ndarray
    starts: np.ndarray
    """Where each cluster begins in `columns`."""
    shares: np.ndarray
    """Share of the benchmark's questions a cluster has."""


def components(values: np.ndarray, groups: list[BenchmarkColumns]) -> Components:
    """V_R, V_C and V_E of `values` (replicates, questions), at least two replicates and two clusters a benchmark."""
    replicates = len(values)
    by_replicate = replicate_means(values, groups)
    clusters, crossing, freedom = np.zeros(len(groups)), np.zeros(len(groups)), np.zeros(len(groups))
    for index, group in enumerate(groups):
        here = values[:, group.columns]
        questions = here.mean(axis=0)
        own = here.mean(axis=1, keepdims=True)
        sums = np.add.reduceat(questions - questions.mean(), group.starts)
        rest = np.add.reduceat(here - questions - own + questions.mean(), group.starts, axis=1)
        # E[sum²] of a cluster with share g is smaller by 1 − 2g + Σg² since the mean is its own: 1 − 1/G when equal.
        inflation = 1 / (1 - 2 * group.shares + np.sum(group.shares**2))
        scale = (len(group.columns) * len(groups)) ** 2
        clusters[index] = np.sum(sums**2 * inflation) / scale
        crossing[index] = np.sum(rest**2 * inflation) / scale / (replicates * (replicates - 1))
        freedom[index] = _cluster_freedom(group.shares, inflation)
    return Components(
        float(by_replicate.var(ddof=1)) / replicates,
        float(clusters.sum()),
        float(crossing.sum()),
        _satterthwaite(clusters, freedom),
        _satterthwaite(crossing, freedom * (replicates - 1)),
    )


def _cluster_freedom(shares: np.ndarray, inflation: np.ndarray) -> float:
    """Degrees of freedom of V_C for clusters of the given shares g: G − 1 when equal, fewer otherwise.

    tr(A)² / tr(A²) of the quadratic form A = (I − 1g')' D (I − 1g') in the cluster means, with D the inflated squared
    shares: the idea of Bell and McCaffrey (Survey Methodology 28, 2002) for clusters whose means vary alike.
    """
    if np.ptp(shares) <= ROUNDING:
        return float(len(shares) - 1)
    weights = shares**2 * inflation
    total, squares = weights.sum(), np.sum(shares**2)
    crossed, twice = weights @ shares, weights @ weights
    trace = total - 2 * crossed + total * squares
    product = (
        twice + 2 * squares * twice + 2 * crossed**2 + (total * squares) ** 2
        - 4 * np.sum(weights**2 * shares) + 2 * total * (weights @ shares**2) - 4 * total * squares * crossed
    )  # fmt: skip
    return float(trace**2 / product)


def _satterthwaite(variances: np.ndarray, freedom: np.ndarray) -> float:
    spread = np.sum(variances**2 / freedom)
    return float(variances.sum() ** 2 / spread) if spread > 0 else float(freedom.sum())


def replicate_means(values: np.ndarray, groups: list[BenchmarkColumns]) -> np.ndarray:
    """Mean over benchmarks of each replicate, shape (replicates,); each benchmark weighs the same."""
    return np.mean([values[:, group.columns].mean(axis=1) for group in groups], axis=0)


def columns_of(questions: int, clusters: Sequence | None, benchmarks: Sequence | None) -> list[BenchmarkColumns]:
    """The columns of each benchmark, in order of appearance; ValueError when labels and questions differ in number."""
    cluster = np.arange(questions) if clusters is None else _codes("clusters", clusters, questions)
    benchmark = np.zeros(questions, int) if benchmarks is None else _codes("benchmarks", benchmarks, questions)
    groups = []
    for code in range(benchmark.max() + 1):
        columns = np.flatnonzero(benchmark == code)
        columns = columns[np.argsort(cluster[columns], kind="stable")]
        starts = np.flatnonzero(np.diff(cluster[columns], prepend=-1))
        groups.append(BenchmarkColumns(columns, starts, np.diff(starts, append=len(columns)) / len(columns)))
    return groups


def _codes(what: str, labels: Sequence, questions: int) -> np.ndarray:
    if len(labels) != questions:
        raise ValueError(f"{what}: {len(labels)} labels for {questions} questions")
    seen: dict[Hashable, int] = {}
    # A question without a label is a case of its own.
    return np.array([seen.setdefault((n,) if x is None else x, len(seen)) for n, x in enumerate(labels)])


def checked_differences(differences: np.ndarray) -> np.ndarray:
    """The differences as numbers of shape (replicates, questions), all finite; ValueError otherwise."""
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"expected differences of shape (replicates, questions), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} differences are not finite")
    return values
