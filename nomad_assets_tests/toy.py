"""A graph of four tiny steps with a grid of its own: the engine at work, in milliseconds.

    words (grid) -> sample (sizes) -> loud (cells) -> summary (grid, of every cell that there is)

Worked example: the words ant, bee, cat of size 2 make sample [2] = ant, bee, and loud [2/high] = ANT!, BEE!.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
from pydantic import Field

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.listeners import Attempt, Listener, Run
from nomad_assets.engine.output import Output
from nomad_assets.engine.runner import Made, Reused, run
from nomad_assets.engine.step import Config, File, Read, Step, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.profile.fields import Operational
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

SIZES, ARMS = (2, 3), ("high", "low")
NOTES, TEXT = File("notes/"), File("summary.txt")


class Words(Table):
    id: str = column("the word's name", unique=True)
    word: str = column("as it is written", str_length={"min_value": 1})
    origin: str = column("where it was found")


class Refused(Table):
    word: str = column("what was not taken")


class Sample(Table):
    id: str = column("the word's name", unique=True, copy_of="words.id")
    word: str = column("as it is written", copy_of="words.word")


class Loud(Sample):
    shout: str = column("the word, louder", computed_from=("word",))


class Machinery(Operational):
    batch_size: int = 8


class Style(Machinery):
    mark: str = "!"
    repeats: list[dict[str, int]] = Field(default=[{"times": 1}])


class WordsConfig(Config):
    words: list[str]
    origin: str
    withdrawn: list[str]

    @classmethod
    def of(cls, grid: Any, cell: Cell, withdrawn: Mapping[str, dict]) -> "WordsConfig":
        return cls(words=grid.words, origin=grid.origin, withdrawn=sorted(withdrawn))


@step(
    over=Over.GRID, tables={"words.parquet": Words, "refused.parquet": Refused}, files=(NOTES,), version="1",
    group="inputs", kinds=("polars",),
)  # fmt: skip
def words(config: WordsConfig, inputs: Inputs, out: Output) -> None:
    """Words in their order. Wrong if one is empty."""
    taken = [word for word in config.words if word not in config.withdrawn]
    out.write(pl.DataFrame({"id": taken, "word": taken, "origin": [config.origin] * len(taken)}), Words)
    out.write(pl.DataFrame({"word": config.withdrawn}, schema={"word": str}), Refused)
    out.path(NOTES).mkdir(exist_ok=True)
    (out.path(NOTES) / "longest.txt").write_text(max(taken, key=len, default=""))
    out.report(rows=len(taken), tokens=sum(map(len, taken)), longest=max(map(len, taken), default=0), color="red")
    out.show("preview", pl.DataFrame({"word": taken}))


class SampleConfig(Config):
    size: int

    @classmethod
    def of(cls, grid: Any, cell: Cell, withdrawn: Mapping[str, dict]) -> "SampleConfig":
        return cls(size=cell.train_size)


def head_of_its_size(table: pl.DataFrame, config: SampleConfig) -> pl.DataFrame:
    return table.head(config.size)


@step(
    over=Over.SIZES, inputs={"words": Read({Words: View(("id", "word"), head_of_its_size)})},
    tables={"sample.parquet": Sample}, version="1", group="inputs", kinds=("polars",),
)  # fmt: skip
def sample(config: SampleConfig, inputs: Inputs, out: Output) -> None:
    """The first words."""
    out.write(inputs["words"].table(Words), Sample)


class LoudConfig(Config):
    style: Style

    @classmethod
    def of(cls, grid: Any, cell: Cell, withdrawn: Mapping[str, dict]) -> "LoudConfig":
        return cls(seed=grid.arms.index(cell.arm), style=grid.style)


@step(
    over=Over.CELLS,
    inputs={"sample": Read({Sample: View()}), "words": Read({Words: View(("id",))}, files=(NOTES,), facts=("longest",))},
    tables={"loud.parquet": Loud}, version="1", group="corpora", kinds=("polars",), heavy=True,
)  # fmt: skip
def loud(config: LoudConfig, inputs: Inputs, out: Output) -> None:
    """The words of a sample, louder."""
    table = inputs["sample"].table(Sample)
    for done in range(table.height):
        out.progress("shouting", done + 1, table.height, {})
    mark = config.style.mark
    out.write(table.with_columns(shout=pl.col("word").str.to_uppercase() + mark), Loud)
    out.report(rows=table.height, longest=inputs["words"].fact("longest"))


class NoConfig(Config):
    @classmethod
    def of(cls, grid: Any, cell: Cell, withdrawn: Mapping[str, dict]) -> "NoConfig":
        return cls()


@step(
    over=Over.GRID, inputs={"loud": Read({Loud: View(("shout",))}, facts=("rows",), every_cell=True, optional=True)},
    files=(TEXT,), version="1", group="report", kinds=("markdown",),
)  # fmt: skip
def summary(config: NoConfig, inputs: Inputs, out: Output) -> None:
    """Everything that was shouted, a line for each cell; what is missing is named."""
    lines = [f"{given.cell.label}: {' '.join(given.table(Loud)['shout'])}" for given in inputs.each("loud")]
    lines += [f"{cell.label}: missing" for _, cell in inputs.missing]
    out.path(TEXT).write_text("\n".join(lines))


GRAPH = Graph([words, sample, loud, summary])


@dataclass(frozen=True)
class ToyGrid:
    """The settings of a toy world. Change one with `dataclasses.replace`."""

    words: list[str] = field(default_factory=lambda: ["ant", "bee", "cat", "dog"])
    origin: str = "garden"
    style: Style = field(default_factory=Style)
    arms: tuple[str, ...] = ARMS
    graph: Graph = field(default_factory=lambda: GRAPH)

    def members(self, over: Over) -> list[Cell]:
        return {
            Over.GRID: [Cell()],
            Over.SIZES: [Cell(size) for size in SIZES],
            Over.CELLS: [Cell(size, arm) for size in SIZES for arm in self.arms],
        }.get(over, [])

    def places(self, step: Step, cell: Cell) -> list[tuple[str, Cell]]:
        return self.graph.places(step.name, cell, {over: self.members(over) for over in Over})

    def changed(self, name: str, **declared: object) -> "ToyGrid":
        """The same world in which one step is declared, or does, something else."""
        steps = [replace(step, **declared) if step.name == name else step for step in self.graph.values()]
        return replace(self, graph=Graph(steps))


class Recorder(Listener):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        self.resumes: list[bool] = []
        self.warnings: list[str] = []
        self.errors: list[BaseException] = []

    @property
    def events(self) -> list[str]:
        return [what for what, _ in self.told]

    def started(self, attempt: Attempt, reasons: list, resumes: bool) -> None:
        self.told.append(("started", attempt.place))
        self.reasons += [str(reason) for reason in reasons]
        self.resumes.append(resumes)

    def waiting(self, attempt: Attempt, text: str) -> None:
        self.told.append(("waiting", text))

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        self.told.append(("progressed", f"{stage} {done}/{total}"))

    def warned(self, attempt: Attempt, text: str) -> None:
        self.told.append(("warned", attempt.place))
        self.warnings.append(text)

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict) -> None:
        self.told.append(("made", attempt.place))

    def reused(self, attempt: Attempt, artifact: Artifact) -> None:
        self.told.append(("reused", attempt.place))

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        self.told.append(("failed", attempt.place))
        self.errors.append(error)


WORLD, WHOLE = ToyGrid(), Cell()


def make(
    store: Store, name: str, cell: Cell = WHOLE, *listeners: Listener, grid: ToyGrid = WORLD, force: bool = False
) -> Made | Reused:
    """One step in one cell."""
    return run(grid.graph[name], cell, grid, store, listeners, Run(str(uuid.uuid4()), "toy"), force)


def make_all(store: Store, *listeners: Listener, grid: ToyGrid = WORLD) -> dict[str, str]:
    """Everything in order: place -> Made or Reused."""
    return {
        f"{step.name} [{cell.label}]": type(make(store, step.name, cell, *listeners, grid=grid)).__name__
        for step in grid.graph.values()
        for cell in grid.members(step.over)
    }


def body(step: Step, *before: Callable[[Inputs, Output], object]) -> Callable[[Any, Inputs, Output], None]:
    """The step's own function, after something else."""

    def does(config: Config, inputs: Inputs, out: Output) -> None:
        for first in before:
            first(inputs, out)
        step.body(config, inputs, out)

    return does


def world(name: str, *before: Callable[[Inputs, Output], object]) -> ToyGrid:
    """A world in which a step does something else first."""
    return WORLD.changed(name, body=body(GRAPH[name], *before))


def raises(error: BaseException) -> Callable[[Inputs, Output], None]:
    def does(inputs: Inputs, out: Output) -> None:
        raise error

    return does


def published(store: LocalStore) -> dict[str, bytes]:
    """Every published file."""
    found = (p for p in store.root.rglob("*") if p.is_file())
    return {str(p): p.read_bytes() for p in found if ".staging" not in p.parts}
