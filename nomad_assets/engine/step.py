"""Declaring a step: what it is made for, what it reads, what it writes, and the function that makes it.

    @step(over=Over.SIZES, inputs={"seed_examples": Read({SeedExamples: View(rows=head)})}, tables={"seeds.parquet": SeedSubset},
          version="2", group="inputs", kinds=("polars",))
    def seed_subset(config: SubsetConfig, inputs: Inputs, out: Output) -> None:
        \"\"\"What the artifact is; the text that the UI shows.\"\"\"

The function gets the config that its first parameter is annotated with, the declared inputs, and a place to write to.
Nothing else of the project is in its reach, so nothing else can change what it makes: the fingerprint of an artifact is the
hash of exactly these and of the step's version.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.tables import Table
from nomad_assets.profile.fields import Section

if TYPE_CHECKING:
    from nomad_assets.engine.checks import Check, Finding, Stored
    from nomad_assets.engine.inputs import Inputs
    from nomad_assets.engine.output import Output

Severity = Literal["ERROR", "WARN"]


class Config(Section):
    """What a step's function is told. Its fields are named after the profile's sections.

    Everything in it is part of the fingerprint, except the keys that a section inherits from `Operational`.
    """

    seed: int = 0
    """Of the step's random choices."""

    @classmethod
    def of(cls, grid: Any, cell: Cell, withdrawn: Mapping[str, dict]) -> "Config":
        """The config of a cell. `withdrawn` are the seed rows that must not be used: id -> source and content key.

        Raises NomadError when something that the profile names cannot be found.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class File:
    """A file or folder of an artifact that is no table, by its name; a folder's name ends in a slash."""

    name: str

    def holds(self, path: str) -> bool:
        return path.startswith(self.name) if self.name.endswith("/") else path == self.name


@dataclass(frozen=True)
class View:
    """What is read of a table: some columns, some rows. All of it by default."""

    columns: tuple[str, ...] | None = None
    rows: Callable[[pl.DataFrame, Any], pl.DataFrame] | None = None
    """(table, the reading step's config) -> the rows that are read; sees all columns of the table."""


@dataclass(frozen=True)
class Read:
    """What a step reads of one parent."""

    tables: Mapping[type[Table], View] = field(default_factory=lambda: MappingProxyType({}))
    files: tuple[File, ...] = ()
    facts: tuple[str, ...] = ()
    """Of the manifest: `seconds`, `rows`, `tokens`, `ended`, `host`, or a metric. Read means compared: a step that reads when or
    where its parent was made is out of date once the parent was made again, whatever came out."""
    every_cell: bool = False
    """All cells of a parent that is partitioned more finely."""
    optional: bool = False
    """Whether the step can run while the parent, or some cells of it, are missing."""
    when: Callable[[Any, Cell], bool] | None = None
    """(grid, cell of the step) -> whether it is read there at all; None stands for always. Where it is not, the parent counts
    for nothing: not for the fingerprint, and the step need not wait for it."""


@dataclass(frozen=True)
class Step:
    """One asset of the graph, declared once."""

    name: str
    body: "Callable[[Any, Inputs, Output], None]"
    config: type[Config]
    over: Over
    inputs: Mapping[str, Read]
    tables: Mapping[str, type[Table]]
    """File name -> contract. The first is the main table: its rows are counted, its columns are shown."""
    files: tuple[File, ...]
    version: str
    group: str
    kinds: tuple[str, ...]
    heavy: bool
    """Needs the accelerator: one at a time on one device."""
    asked: bool = False
    """Made only where it is asked for by name: by no run of the grid, and by no automation."""
    checks: "list[Check]" = field(default_factory=list)

    @property
    def description(self) -> str:
        return inspect.getdoc(self.body) or ""

    @property
    def main(self) -> type[Table] | None:
        return next(iter(self.tables.values()), None)

    def file_of(self, table: type[Table]) -> str:
        """The file that holds a table of this step. Raises KeyError when it has none of that kind."""
        for name, contract in self.tables.items():
            if contract is table:
                return name
        raise KeyError(f"{self.name} has no table {table.__name__}")

    def check(
        self, severity: Severity = "ERROR"
    ) -> "Callable[[Callable[[Stored], Finding]], Callable[[Stored], Finding]]":
        """Decorator: an assertion about this step's artifacts; the function's name and docstring are the check's."""
        return check(self, severity=severity)


def check(
    *steps: Step, severity: Severity = "ERROR"
) -> "Callable[[Callable[[Stored], Finding]], Callable[[Stored], Finding]]":
    """Decorator: an assertion about the artifacts of several steps."""
    from nomad_assets.engine.checks import Check

    def register(function: "Callable[[Stored], Finding]") -> "Callable[[Stored], Finding]":
        for one in steps:
            one.checks.append(Check(function.__name__, severity, function))
        return function

    return register


def step(
    *,
    over: Over,
    inputs: Mapping[str, Read] | None = None,
    tables: Mapping[str, type[Table]] | None = None,
    files: tuple[File, ...] = (),
    version: str,
    group: str,
    kinds: tuple[str, ...],
    heavy: bool = False,
    asked: bool = False,
) -> "Callable[[Callable[[Any, Inputs, Output], None]], Step]":
    """Decorator: declares the asset of the function's name."""

    def declare(body: "Callable[[Any, Inputs, Output], None]") -> Step:
        first = next(iter(inspect.signature(body).parameters))
        config = typing.get_type_hints(body)[first]
        return Step(
            body.__name__, body, config, over, MappingProxyType(dict(inputs or {})), MappingProxyType(dict(tables or {})), files,
            version, group, kinds, heavy, asked,
        )  # fmt: skip

    return declare
