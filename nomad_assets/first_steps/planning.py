"""What a grid can show before it is run: the smallest difference, and the hours that it takes."""

import statistics
from dataclasses import dataclass

import numpy as np
import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.step import Step
from nomad_assets.engine.tables import Table
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.recipe.evaluation.benchmarks import primary
from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES
from nomad_assets.recipe.evaluation.power import ALPHA, EXACT_MATCH, POWER, Variances, smallest_effect, variances_of
from nomad_assets.steps.benchmarks import BenchmarkQuestions, local_benchmarks, questions_of
from nomad_assets.steps.scores import QuestionResults
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

LARGE = 0.10
"""A difference that a recipe seldom makes: a grid that can show no smaller one is worth a word before it runs."""
REPLICATES = (5, 8, 12, 20)
QUESTIONS = (40, 80, 250, 500, 1000)


@dataclass(frozen=True)
class Planned:
    """What is known of a grid before it runs."""

    replicates: int
    questions: int | None
    """Independent draws among the test questions: clusters, where questions share templates. None where a task brings its own."""
    variances: Variances
    pilot: int
    """Replicates that the variances were estimated from; 0 where they are defaults."""
    seconds_per_replicate: float | None
    """Of everything that a further replicate makes; None where not every step has run once."""

    def effect(self, questions: int, replicates: int, alpha: float = ALPHA, power: float = POWER) -> float:
        """The smallest difference that is shown, as a share."""
        return smallest_effect(questions, replicates, self.variances, alpha=alpha, power=power)

    def doubts(self, profile: str | None) -> str | None:
        """Why the grid cannot answer its question, in a sentence with the command that tells what could; None where it can.
        `profile` is what stands behind --profile there."""
        command = f"nomad-assets power --profile {profile}" if profile else "nomad-assets power"
        remedy = f"{command} tells what more replicates and questions would show"
        if self.replicates < FEWEST_REPLICATES:
            return (
                f"grid.replicates = {self.replicates}: a verdict on a recipe takes at least {FEWEST_REPLICATES}, since with fewer its "
                f"difference cannot be told from luck; {remedy}"
            )
        if self.questions is None or self.questions < 2:
            return None
        least = self.effect(self.questions, self.replicates)
        if least <= LARGE:
            return None
        return (
            f"{self.replicates} replicates and {self.questions} independent test questions show a difference of {100 * least:.0f} points "
            f"or more, no smaller one; {remedy}"
        )


def planned(grid: Grid, store: Store) -> Planned:
    """What the profile, its local questions and the artifacts of earlier runs tell. Raises NomadError when a file is missing."""
    asked = _questions(grid, store)
    pilot = [] if asked is None else _pilot(grid, store, asked)
    return Planned(
        grid.profile.grid.most_replicates, _test_questions(grid, asked), variances_of(pilot) if pilot else EXACT_MATCH,
        min(len(values) for values in pilot) if pilot else 0, _seconds_per_replicate(grid, store),
    )  # fmt: skip


def _questions(grid: Grid, store: Store) -> pl.DataFrame | None:
    """The local questions: benchmark, id, cluster and split; those of the last run, where there was one."""
    step = grid.graph["benchmark_questions"]
    stored = _read(store, step, Cell(), BenchmarkQuestions, ["id", "benchmark", "cluster", "split"])
    if stored is not None:
        return stored
    local = local_benchmarks(grid.profile)
    if not local or any(b.source.path.startswith(("hf://", "python:", "plugin:")) for b in local):
        return None
    from nomad_assets.recipe.evaluation.splits import with_splits

    config = step.config.of(grid, Cell(), {})
    return with_splits(questions_of(config.benchmarks, config.clusters), config.dev)


def _test_questions(grid: Grid, asked: pl.DataFrame | None) -> int | None:
    if any(benchmark.task is not None for benchmark in grid.profile.benchmarks.values()):
        return None
    return None if asked is None else asked.filter(split="test").select("benchmark", "cluster").n_unique()


def _pilot(grid: Grid, store: Store, asked: pl.DataFrame) -> list[np.ndarray]:
    """Paired differences (replicates, clusters) of students and their control, an array for each size and arm that has several
    replicates of both."""
    test = asked.filter(split="test").select("benchmark", "cluster", pl.col("id").alias("question_id"))
    found = []
    for size in grid.train_sizes:
        for arm in grid.arms:
            pairs = [
                _difference(grid, store, Cell(size, arm, replicate), test)
                for replicate in range(grid.profile.grid.most_replicates)
            ]
            known = [pair for pair in pairs if pair is not None]
            if len(known) > 1:
                wide = pl.concat(known, how="align").drop_nulls()  # by benchmark and cluster
                found.append(wide.select(pl.exclude("benchmark", "cluster")).to_numpy().T)
    return [values for values in found if values.shape[1] > 1]


def _difference(grid: Grid, store: Store, cell: Cell, test: pl.DataFrame) -> pl.DataFrame | None:
    """benchmark, cluster and the mean difference over the cluster's questions, in a column of the replicate's name."""
    tables = []
    for asset in ("student_scores", "control_scores"):
        step = grid.graph[asset]
        results = _read(store, step, cell.at(step.over), QuestionResults)
        if results is None:
            return None
        metrics = results.group_by("benchmark").agg(pl.col("metric").unique(maintain_order=True)).iter_rows()
        chosen = pl.DataFrame(
            [(name, primary(found)) for name, found in metrics], schema=["benchmark", "metric"], orient="row"
        )
        tables.append(results.join(chosen, on=["benchmark", "metric"]).select("benchmark", "question_id", "value"))
    both = (
        tables[0]
        .join(tables[1], on=["benchmark", "question_id"], suffix="_control")
        .join(test, on=["benchmark", "question_id"])
    )
    gap = (pl.col("value") - pl.col("value_control")).mean().alias(str(cell.replicate))
    return both.group_by("benchmark", "cluster").agg(gap).sort("benchmark", "cluster")


def _seconds_per_replicate(grid: Grid, store: Store) -> float | None:
    total = 0.0
    for step in grid.graph.values():
        if step.over is Over.GRID:
            continue
        places = [cell for cell in grid.members(step.over) if cell.replicate == 0]
        made = [artifact for cell in grid.members(step.over) if (artifact := _known(store, step, cell))]
        if places and not made:
            return None
        total += len(places) * statistics.median(artifact.manifest.seconds for artifact in made) if places else 0.0
    return total


def _known(store: Store, step: Step, cell: Cell) -> Artifact | None:
    """What there is, where it can be read and has today's tables."""
    try:
        artifact = store.current(step.name, cell)
    except NomadError:
        return None  # its manifest cannot be read
    return artifact if artifact is not None and artifact.manifest.code_version == step.version else None


def _read(
    store: Store, step: Step, cell: Cell, table: type[Table], columns: list[str] | None = None
) -> pl.DataFrame | None:
    """A stored table; None where it is not there or damaged, which those say who need it."""
    artifact = _known(store, step, cell)
    if artifact is None:
        return None
    try:
        return artifact.read(step.file_of(table), columns)
    except (FileNotFoundError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
