"""When replicates may stop early: looks at the difference before all of them have run, at an error kept as planned.

Worked example: `replicates = {start = 5, most = 12}`, alpha .05. Looking eight times, after 5, 6 … 12 replicates, at
p < .05 each would be wrong in 13% of the worlds without a difference. So each look spends a part of alpha that grows with
the share of replicates seen: p must be below .0010 at 5, .0027 at 6, … and .036 at 12. An effect that 12 replicates show
with 90% power stops it at 8 half of the time.

Spending is that of Lan and DeMets (Biometrika 70, 1983) with the O'Brien–Fleming form for two sides, boundaries are
found by recursive integration (Armitage, McPherson and Rowe, JRSS A 132, 1969), futility is stochastic curtailment under
the planned effect (Lan, Simon and Halperin, Communications in Statistics C 1, 1982). All replicates answer the same
questions, so the means at two looks are closer to each other than independent increments make them: boundaries by the
share of replicates are then on the safe side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

Decision = Literal["stop: higher", "stop: lower", "stop: futile", "go on", "end: no difference shown"]

NODES = 160
"""Gauss–Legendre nodes of an integral over one look; 40 give four digits already."""
CEILING = 12.0
"""Largest boundary searched for, in standard errors."""


@dataclass(frozen=True)
class Look:
    """One look after `replicates`: the difference is shown when its two-sided p is below `level`.

    `fraction` is the share of the final information (0 to 1), `spent` the alpha spent up to and including this look,
    `bound` the boundary in standard errors that `level` corresponds to.
    """

    replicates: int
    fraction: float
    spent: float
    bound: float
    level: float


def looks(start: int, most: int, *, alpha: float = 0.05) -> tuple[Look, ...]:
    """The looks after `start`, `start + 1`, … and at last `most` replicates. Raises ValueError on impossible settings."""
    if not 2 <= start <= most:
        raise ValueError(f"start = {start}, most = {most}: expected 2 <= start <= most")
    counts = range(start, most + 1)
    fractions = [count / most for count in counts]
    bounds = boundaries(fractions, alpha=alpha)
    spent = [spending(fraction, alpha) for fraction in fractions]
    return tuple(Look(c, f, s, b, _two_sided(b)) for c, f, s, b in zip(counts, fractions, spent, bounds, strict=True))


def spending(fraction: float, alpha: float = 0.05) -> float:
    """Alpha that may be spent when `fraction` of the information is there: 4 · (1 − Φ(z[1 − alpha/4] / √fraction))."""
    from scipy.special import ndtr, ndtri

    if not 0 < fraction <= 1 + 1e-9 or not 0 < alpha < 1:
        raise ValueError(f"fraction = {fraction}, alpha = {alpha}: expected 0 < fraction <= 1 and 0 < alpha < 1")
    return float(4 * ndtr(ndtri(alpha / 4) / np.sqrt(fraction)))


def boundaries(fractions: Sequence[float], *, alpha: float = 0.05) -> list[float]:
    """Two-sided boundaries in standard errors, one a look; `fractions` rise to at most 1.

    Raises ValueError when they do not rise, or alpha is not between 0 and 1.
    """
    if not fractions or any(later <= earlier for earlier, later in pairwise(fractions)):
        raise ValueError(f"fractions must rise: {list(fractions)}")
    nodes, node_weights = np.polynomial.legendre.leggauss(NODES)
    # The score process z · √fraction starts at 0 and gains independent normal increments.
    places, mass, before, spent, found = np.zeros(1), np.ones(1), 0.0, 0.0, []
    for fraction in fractions:
        step, due = float(np.sqrt(fraction - before)), spending(fraction, alpha) - spent
        edge = _edge(places, mass, step, due, CEILING * float(np.sqrt(fraction)))
        found.append(edge / float(np.sqrt(fraction)))
        inside = nodes * edge
        density = np.exp(-(((inside[:, None] - places) / step) ** 2) / 2) / (step * np.sqrt(2 * np.pi))
        places, mass = inside, node_weights * edge * (density @ mass)
        before, spent = fraction, spending(fraction, alpha)
    return found


def conditional_power(z: float, look: Look, final: Look, drift: float) -> float:
    """Chance that the last look shows the difference, given `z` standard errors now and a true `drift`.

    `drift` is the true difference in standard errors of the last look, towards the side of `z`. At the last look it is 1
    or 0.
    """
    from scipy.special import ndtr

    left = final.fraction - look.fraction
    score, edge = abs(z) * np.sqrt(look.fraction), final.bound * np.sqrt(final.fraction)
    if left <= 0:
        return float(score >= edge)
    expected = score + drift * left / np.sqrt(final.fraction)
    return float(ndtr((expected - edge) / np.sqrt(left)) + ndtr((-expected - edge) / np.sqrt(left)))


def decide(
    mean: float, p: float, replicates: int, plan: Sequence[Look], *, power: float = 0.9, least: float = 0.1
) -> Decision:
    """What to do after `replicates`, from the mean difference and the two-sided p of `crossed.crossed`.

    Futile: with the effect that the plan shows with chance `power`, the last look would show it with a chance below
    `least`. That bound is not binding: going on regardless keeps alpha. Raises ValueError when no look is due at
    `replicates`, `p` is not a p-value, or power or least are not between 0 and 1.
    """
    from scipy.special import ndtri

    due = [look for look in plan if look.replicates == replicates]
    if not due:
        raise ValueError(f"no look after {replicates} replicates; looks: {[look.replicates for look in plan]}")
    if not (0 <= p <= 1 and 0 < power < 1 and 0 < least < 1):
        raise ValueError(f"p = {p}, power = {power}, least = {least}: must lie between 0 and 1")
    look, final = due[0], plan[-1]
    if p < look.level:
        return "stop: higher" if mean > 0 else "stop: lower"
    if look is final:
        return "end: no difference shown"
    z = -float(ndtri(p / 2)) if p > 0 else CEILING
    chance = conditional_power(z, look, final, final.bound + float(ndtri(power)))
    return "stop: futile" if chance < least else "go on"


def _two_sided(bound: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-bound))


def _edge(places: np.ndarray, mass: np.ndarray, step: float, due: float, ceiling: float) -> float:
    """Where a process with `mass` at `places`, after an increment of SD `step`, is outside with chance `due`."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def excess(edge: float) -> float:
        return float(mass @ (ndtr((places - edge) / step) + ndtr((-places - edge) / step))) - due

    return ceiling if excess(ceiling) >= 0 else float(brentq(excess, 0.0, ceiling))
