"""Made-up experiments whose truth is known: two recipes, paired replicates, the same questions.

A world is an array of paired differences, shape (replicates, questions). Exact match draws right and wrong of both
recipes from a probit model, log-probability draws the differences themselves, with tails heavier than a normal's. Both
have a true difference of zero (`shift` moves log-probability). The sizes are those of `power.EXACT_MATCH` and
`power.ANSWER_LOG_PROBABILITY`; `test_crossed.py` checks that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nomad_assets.recipe.evaluation.power import ANSWER_LOG_PROBABILITY, EXACT_MATCH, Variances

BASE, DIFFICULTY, TASTE = -1.526, 1.89, 0.739
"""Probit of a question's being right: mean, SD over questions that both recipes share, SD that is a recipe's own."""
SLOPE = 0.1404
"""Change of the share right when every probit rises by one."""
CLUSTERED = 0.5
"""Share of the questions' variance that questions of one cluster have in common, where there are clusters."""
BATCH = 50


@dataclass(frozen=True)
class World:
    """`run` is the SD over replicates, in points of exact match or nats; `same` compares a recipe with itself."""

    kind: Literal["exact match", "log-probability"]
    replicates: int
    questions: int
    clustered: bool = False
    run: float | None = None
    same: bool = False
    shift: float = 0.0

    @property
    def variances(self) -> Variances:
        return EXACT_MATCH if self.kind == "exact match" else ANSWER_LOG_PROBABILITY


def worlds(world: World, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """`count` times the differences and the cluster of each question (None without clusters)."""
    generator = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        clusters = _clusters(world.questions, generator) if world.clustered else None
        draw = _exact if world.kind == "exact match" else _log_probability
        for differences in draw(world, min(BATCH, count - start), clusters, generator):
            yield differences, clusters


def _clusters(questions: int, generator: np.random.Generator) -> np.ndarray:
    """Clusters of 5 to 15 questions, ten on average."""
    sizes = generator.integers(5, 16, questions)
    return np.repeat(np.arange(questions), sizes)[:questions]


def _exact(world: World, count: int, clusters: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    run = EXACT_MATCH.run if world.run is None else world.run
    probit = BASE + DIFFICULTY * generator.normal(size=(count, 1, world.questions))
    taste = TASTE * _question_effects(world, count, clusters, generator)
    right = []
    for _ in "ab":
        own = taste if world.same else TASTE * _question_effects(world, count, clusters, generator)
        runs = _run_effects(run / SLOPE / 2**0.5, world, count, clusters, generator)
        noise = generator.normal(size=(count, world.replicates, world.questions))
        right.append(probit + own + runs + noise > 0)
    return right[0].astype(float) - right[1]


def _log_probability(
    world: World, count: int, clusters: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    sizes = ANSWER_LOG_PROBABILITY
    run = sizes.run if world.run is None else world.run
    noise = generator.standard_t(5, size=(count, world.replicates, world.questions)) * (3 / 5) ** 0.5 * sizes.residual
    runs = _run_effects(run, world, count, clusters, generator)
    questions = 0.0 if world.same else sizes.question * _question_effects(world, count, clusters, generator)
    return world.shift + questions + runs + noise


def _question_effects(
    world: World, count: int, clusters: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    """Effects of SD 1, shape (count, 1, questions); normal for exact match, Student's t with 5 df otherwise."""
    shape = (count, 1, world.questions)
    own = (
        generator.normal(size=shape) if world.kind == "exact match" else generator.standard_t(5, size=shape) * 0.6**0.5
    )
    if clusters is None:
        return own
    common = generator.normal(size=(count, 1, clusters[-1] + 1))[:, :, clusters]
    return CLUSTERED**0.5 * common + (1 - CLUSTERED) ** 0.5 * own


def _run_effects(
    run: float, world: World, count: int, clusters: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    """What a replicate gains on every question and, half as much, on those of one cluster."""
    effects = run * generator.normal(size=(count, world.replicates, 1))
    if clusters is None:
        return effects
    return effects + run / 2 * generator.normal(size=(count, world.replicates, clusters[-1] + 1))[:, :, clusters]
