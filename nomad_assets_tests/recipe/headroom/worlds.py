"""Planted worlds: scores as if models of a known skill had answered, so that what a page must say of them is known."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from nomad_assets.recipe.headroom.measure import COLUMNS

SIZES = (0, 50, 100, 200)


@dataclass(frozen=True)
class World:
    """Shares right, by what was trained on; the log-probability follows them. Questions are of two benchmarks."""

    rows: tuple[float, ...] = (0.1, 0.3, 0.4, 0.6)
    """By SIZES."""
    wrong: tuple[float, ...] = (0.55, 0.4)
    """With a quarter and a half of the largest size wrong."""
    majority: float = 0.6
    any_right: float = 0.8
    replicates: int = 5
    questions: int = 120
    clusters: int = 120
    luck: float = 0.01
    """Standard deviation of a replicate's skill."""

    def scores(self, seed: int = 0) -> pl.DataFrame:
        """The table that headroom_scores stores."""
        random = np.random.default_rng(seed)
        hard = random.random(self.questions)  # the same for every model, as questions are
        rows: list[tuple] = []

        def answer(curve: str, point: float, replicate: int, metric: str, skill: float) -> None:
            drawn = skill + (random.normal(0, self.luck) if point or curve != "rows" else 0.0)
            noise = random.normal(0, 0.05, self.questions)
            for number in range(self.questions):
                right = float(hard[number] + noise[number] < drawn)
                label = (curve, float(point), replicate, "ab"[number % 2], f"q{number}", f"c{number % self.clusters}")
                rows.append((*label, metric, right))
                if metric == "right":
                    rows.append((*label, "answer_logprob", min(0.0, drawn - 1 - 0.2 * hard[number] + noise[number])))

        for replicate in range(self.replicates):
            for size, skill in zip(SIZES, self.rows, strict=True):
                if size or replicate == 0:
                    answer("rows", size, replicate, "right", skill)
            for share, skill in zip((0.25, 0.5), self.wrong, strict=False):
                answer("wrong", share, replicate, "right", skill)
            for metric, skill in (
                ("single", self.rows[-1]),
                ("majority", self.majority),
                ("any_right", self.any_right),
            ):
                answer("votes", 8, replicate, metric, skill)
            answer("votes", 8, replicate, "agreement", 0.5)
        return pl.DataFrame(rows, schema=COLUMNS, orient="row")


RISING = World()
FLAT = World(rows=(0.1, 0.4, 0.4, 0.4), wrong=(0.4, 0.4), majority=0.4, any_right=0.42)
