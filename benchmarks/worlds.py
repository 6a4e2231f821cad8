"""Worlds in which the true difference of two recipes is known, drawn replicate by replicate and question by question.

A question is got right or wrong by both recipes alike but for flips; a flip is likelier where the run, the question or its
cluster favours one of them. With right-or-wrong scores a paired difference is then -1, 0 or 1, as on a real benchmark; a
log-probability differs by the sum of the same effects and noise.
"""

from dataclasses import dataclass

import numpy as np

from nomad_assets.recipe.evaluation.crossed import crossed
from nomad_assets.recipe.evaluation.sequential import Decision, Look, decide


@dataclass(frozen=True)
class World:
    """Standard deviations are of a paired difference, in its own unit."""

    replicates: int
    questions: int
    per_cluster: int = 1
    """Questions that share a template."""
    run: float = 0.04
    question: float = 0.20
    """Of questions; where they come in clusters, half of the variance is the cluster's."""
    flips: float = 0.40
    """Share of the questions that the two answer differently in one replicate, at random; 0 for a score without flips."""
    noise: float = 0.10
    """Of a score without flips, from replicate to replicate."""
    difference: float = 0.0

    @property
    def clusters(self) -> np.ndarray:
        """The cluster of each question."""
        return np.arange(self.questions) // self.per_cluster

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Paired differences, shape (replicates, questions)."""
        shape, groups = (self.replicates, self.questions), self.clusters
        shared = 0.5 if self.per_cluster > 1 else 0.0
        own = random.normal(0, self.question * np.sqrt(1 - shared), self.questions)
        common = random.normal(0, self.question * np.sqrt(shared), groups[-1] + 1)[groups]
        effect = self.difference + random.normal(0, self.run, (self.replicates, 1)) + own + common
        if self.flips == 0:
            return effect + random.normal(0, self.noise, shape)
        # E[d] is the effect: it moves chance from one side of the flips to the other.
        up, down = (np.clip((self.flips + sign * effect) / 2, 0, 1) for sign in (1, -1))
        total = np.maximum(up + down, 1)
        drawn = random.random(shape)
        return (drawn < up / total).astype(float) - (drawn > 1 - down / total).astype(float)

    def ended(self, random: np.random.Generator, plan: tuple[Look, ...]) -> tuple[Decision, Look]:
        """How one draw of the world ends that is looked at as planned, and at which look."""
        d, names, one = self.draw(random), [str(c) for c in self.clusters], ["all"] * self.questions
        for look in plan:
            found = crossed(d[: look.replicates], names, one)
            if (decision := decide(found.mean, found.p, look.replicates, plan)) != "go on":
                break
        return decision, look
