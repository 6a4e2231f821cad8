"""How small a difference of two recipes an experiment can show, before it is run.

Worked example: 250 questions, 8 replicates, deviations of .03, .20 and .40. Runs add .03² / 8 = .00011 to the variance of the mean,
questions .20² / 250 = .00016, single answers .40² / 2000 = .00008: a standard error of 1.9 points with 22 degrees of freedom. At alpha .01
a difference of 7.8 points is shown with 90% power. Four times the questions alone give 5.9 points, four times the replicates alone
5.6: each helps until the other is what is left.

The model and the degrees of freedom are those of `crossed.py`; at a true difference its statistic is noncentral t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA, POWER = 0.05, 0.8
"""What is planned for where nothing else is said."""
QUANTILES = 2000
"""Quantiles of the error's law that a power is averaged over: four digits."""


@dataclass(frozen=True)
class Variances:
    """Standard deviations of a paired difference d[replicate, question], in its unit (1 = 100 points, or nats)."""

    question: float
    """Between questions."""
    run: float
    """Between replicates."""
    residual: float
    """What is left of a single answer: runs that flip a question back and forth."""


EXACT_MATCH = Variances(question=0.20, run=0.04, residual=0.60)
"""Right or wrong, where nothing is known: run deviations of .03 to .05 were seen of small students, and two models of them answer
some 40 of 100 questions differently, one of the two right (deviation √(.40 - .20²))."""


def smallest_effect(questions: int, replicates: int, variances: Variances, *, alpha: float, power: float) -> float:
    """Smallest true difference that a two-sided test at `alpha` shows with the chance `power`, in the variances' unit.

    `questions` are independent draws: clusters, where questions share templates. Raises ValueError on fewer than two
    replicates or questions, and unless 0 < alpha < power < 1.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    if not 0 < alpha < power < 1:
        raise ValueError(f"alpha = {alpha}, power = {power}: expected 0 < alpha < power < 1")
    error, freedom = planned_error(questions, replicates, variances)
    if error == 0:
        return 0.0
    critical = float(stdtrit(freedom, 1 - alpha / 2))
    ceiling = critical + 10 * float(stdtrit(freedom, max(power, 0.9)))
    return error * float(brentq(lambda shift: _power(shift, critical, freedom) - power, 0.0, ceiling))


def planned_error(questions: int, replicates: int, variances: Variances) -> tuple[float, float]:
    """Standard error of the mean difference and its Satterthwaite degrees of freedom."""
    if replicates < 2 or questions < 2:
        raise ValueError(f"{replicates} replicates, {questions} questions: at least two of each are needed")
    rest = variances.residual**2 / (questions * replicates)
    by_run = variances.run**2 / replicates + rest
    by_question = variances.question**2 / questions + rest
    total = by_run + by_question - rest
    spread = by_run**2 / (replicates - 1) + by_question**2 / (questions - 1)
    spread += rest**2 / ((replicates - 1) * (questions - 1))
    return total**0.5, total**2 / spread if spread > 0 else float(replicates - 1)


def variances_of(differences: Sequence[np.ndarray]) -> Variances:
    """The variances of a pilot by the method of moments, pooled over comparisons; a negative estimate is 0.

    Each array has shape (replicates, questions) and holds paired differences, questions of one template averaged before. A
    pilot of few replicates knows its run deviation badly: with 5, half to three times what it says (chi-squared, 95%). Raises
    ValueError on fewer than two replicates or questions.
    """
    found = []
    for values in differences:
        replicates, questions = values.shape
        if replicates < 2 or questions < 2:
            raise ValueError(f"{replicates} replicates, {questions} questions: at least two of each are needed")
        by_run, by_question = values.mean(axis=1), values.mean(axis=0)
        left = values - by_run[:, None] - by_question + values.mean()
        rest = float((left**2).sum()) / ((replicates - 1) * (questions - 1))
        found.append(
            (float(by_question.var(ddof=1)) - rest / replicates, float(by_run.var(ddof=1)) - rest / questions, rest)
        )
    question, run, rest = np.maximum(np.mean(found, axis=0), 0.0) ** 0.5
    return Variances(float(question), float(run), float(rest))


def _power(shift: float, critical: float, freedom: float) -> float:
    """Chance that |noncentral t| exceeds `critical`: Student's error has the law of √(χ² / freedom), taken by quantiles.

    scipy's noncentral t is not a number far from its middle, where a search begins.
    """
    from scipy.special import gammaincinv, ndtr

    error = np.sqrt(2 / freedom * gammaincinv(freedom / 2, (np.arange(QUANTILES) + 0.5) / QUANTILES))
    return float(np.mean(ndtr(shift - critical * error) + ndtr(-shift - critical * error)))
