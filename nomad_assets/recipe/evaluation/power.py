"""How small a difference of two recipes an experiment can show, before it is run.

Worked example: 250 questions, 8 replicates, exact match. Runs contribute .03² / 8 = .00011, questions .20² / 250 =
.00016, single answers .40² / 2000 = .00008: a standard error of 1.9 points with 22 degrees of freedom. At alpha .01 a
difference of 7.8 points is shown with 90% power. Four times the questions alone give 5.9 points, four times the
replicates alone 5.6: each helps until the other is what is left.

The model and the degrees of freedom are those of `crossed.py`; the test statistic at a true difference is noncentral t.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from nomad_assets.recipe.evaluation.components import (
    BenchmarkColumns,
    checked_differences,
    columns_of,
    replicate_means,
)

QUANTILES = 2000
"""Quantiles of the error's law that a power is averaged over: four digits."""


@dataclass(frozen=True)
class Variances:
    """Standard deviations of a paired difference d[replicate, question], in its unit (1 = 100 points, or nats).

    `run` is between replicates, `cluster` between templates, `question` between questions of one template, `residual`
    what is left of a single answer: runs that flip a question back and forth.
    """

    question: float
    run: float
    residual: float
    cluster: float = 0.0


EXACT_MATCH = Variances(question=0.20, run=0.03, residual=0.40)
"""Right or wrong: planning values for small students, not a fit. Trials of November 2026 had run SDs of .03 to .05."""
ANSWER_LOG_PROBABILITY = Variances(question=0.10, run=0.018, residual=0.10)
"""Nats per answer token on word problems, a planning value: one pair has SD .14, where .08 to .16 was measured (trivia
.43 to .72). The split is chosen so that 250 questions and 8 replicates show .038 nats; a pilot's is better."""


def smallest_effect(
    questions: int,
    clusters: int | None,
    replicates: int,
    variances: Variances = EXACT_MATCH,
    *,
    alpha: float = 0.01,
    power: float = 0.9,
) -> float:
    """Smallest true difference that a two-sided test at `alpha` shows with chance `power`, in the variances' unit.

    `clusters` of about equal size, or None when each question is its own. With 5 replicates real power is some 3 points
    below `power`, since degrees of freedom are estimated (benchmarks/README.md). Raises ValueError on fewer than two
    replicates or clusters, more clusters than questions, alpha or power outside 0 to 1, or power below alpha.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    if not 0 < alpha < power < 1:
        raise ValueError(f"alpha = {alpha}, power = {power}: expected 0 < alpha < power < 1")
    error, freedom = planned_error(questions, clusters, replicates, variances)
    if error == 0:
        return 0.0
    critical = float(stdtrit(freedom, 1 - alpha / 2))
    ceiling = critical + 10 * float(stdtrit(freedom, max(power, 0.9)))
    return error * float(brentq(lambda shift: _power(shift, critical, freedom) - power, 0.0, ceiling))


def planned_error(questions: int, clusters: int | None, replicates: int, variances: Variances) -> tuple[float, float]:
    """Standard error of the mean difference and its Satterthwaite degrees of freedom.

    Raises ValueError on fewer than two replicates or clusters, or more clusters than questions.
    """
    groups = questions if clusters is None else clusters
    if replicates < 2 or not 2 <= groups <= questions:
        raise ValueError(
            f"{replicates} replicates, {groups} clusters, {questions} questions: at least two of each are needed, "
            "and no more clusters than questions"
        )
    rest = variances.residual**2 / (questions * replicates)
    by_run = variances.run**2 / replicates + rest
    by_cluster = variances.cluster**2 / groups + variances.question**2 / questions + rest
    total = by_run + by_cluster - rest
    spread = by_run**2 / (replicates - 1) + by_cluster**2 / (groups - 1) + rest**2 / ((replicates - 1) * (groups - 1))
    return total**0.5, total**2 / spread if spread > 0 else float(replicates - 1)


def variances_of(
    differences: np.ndarray,
    *,
    clusters: Sequence[Hashable] | np.ndarray | None = None,
    benchmarks: Sequence[Hashable] | np.ndarray | None = None,
) -> Variances:
    """The variances of a pilot, by the method of moments; a negative estimate is 0.

    Arguments as of `crossed.crossed_difference`; several benchmarks share one estimate. A pilot of few replicates
    knows its run SD badly: with 5, half to three times what it says (chi-squared, 95%). Raises ValueError on fewer than
    two replicates, or a benchmark of one question.
    """
    values = checked_differences(differences)
    replicates, questions = values.shape
    groups = columns_of(questions, clusters, benchmarks)
    if replicates < 2 or min(len(group.columns) for group in groups) < 2:
        raise ValueError(f"{replicates} replicates, {questions} questions: two of each are needed, in every benchmark")
    rest = sum(_rest(values[:, group.columns]) for group in groups) / ((replicates - 1) * (questions - len(groups)))
    weights = sum(1 / len(group.columns) for group in groups) / len(groups) ** 2
    run = float(replicate_means(values, groups).var(ddof=1)) - rest * weights
    cluster, question = _question_variances(values.mean(axis=0), groups)
    question -= rest / replicates
    # Within clusters the noise of single answers is in both mean squares, so `cluster` is free of it already.
    return Variances(*(max(0.0, value) ** 0.5 for value in (question, run, rest, cluster)))


def _power(shift: float, critical: float, freedom: float) -> float:
    """Chance that |noncentral t| exceeds `critical`: Student's error has the law of √(χ² / freedom), taken by quantiles.

    scipy's noncentral t is not a number far from its middle, where a search begins.
    """
    from scipy.special import gammaincinv, ndtr

    error = np.sqrt(2 / freedom * gammaincinv(freedom / 2, (np.arange(QUANTILES) + 0.5) / QUANTILES))
    return float(np.mean(ndtr(shift - critical * error) + ndtr(-shift - critical * error)))


def _rest(values: np.ndarray) -> float:
    residuals = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float(np.sum(residuals**2))


def _question_variances(means: np.ndarray, groups: list[BenchmarkColumns]) -> tuple[float, float]:
    """Variance of question means between clusters (0 when each question is its own) and within them."""
    within = between = spread = 0.0
    clusters = sum(len(group.starts) for group in groups)
    for group in groups:
        here = means[group.columns]
        sizes = group.shares * len(here)
        cluster_means = np.add.reduceat(here, group.starts) / sizes
        within += float(np.sum((here - np.repeat(cluster_means, np.rint(sizes).astype(int))) ** 2))
        between += float(np.sum(sizes * (cluster_means - here.mean()) ** 2))
        spread += len(here) - float(np.sum(sizes**2)) / len(here)
    if clusters == len(means) or clusters == len(groups):
        return 0.0, (within + between) / (len(means) - len(groups))
    inside = within / (len(means) - clusters)
    size = spread / (clusters - len(groups))
    return (between / (clusters - len(groups)) - inside) / size, inside
