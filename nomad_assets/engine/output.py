"""Where a step's function writes, and how it says what it made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from nomad_assets.engine.inputs import UndeclaredError
from nomad_assets.engine.step import File, Step
from nomad_assets.engine.tables import Table, validate
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.store.protocol import Stage

PREVIEW_ROWS = 5


@dataclass(frozen=True)
class Preview:
    """The first rows of a table, for people."""

    frame: pl.DataFrame


@dataclass(frozen=True)
class Picture:
    """A chart with its text for who cannot see it."""

    alt: str
    chart: Any


@dataclass(frozen=True)
class Markdown:
    text: str


Shown = Preview | Picture | Markdown


@dataclass
class Output:
    """One per run of a step."""

    step: Step
    place: str
    stage: Stage
    progress: Progress = silent
    warn: Callable[[str], None] = lambda text: None
    agreed: Callable[[str, Callable[[], str]], str] = lambda question, answer: answer()
    """(question, how to answer it) -> the answer that all processes that work on the store share."""
    rows: int | None = None
    tokens: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        """Kept over a crash, dropped before publishing."""
        return self.stage.scratch

    def write(self, frame: pl.DataFrame, table: type[Table]) -> None:
        """Stage a declared table. Raises NomadError when it breaks its contract: nothing invalid is ever published."""
        try:
            name = self.step.file_of(table)
        except KeyError as error:
            raise UndeclaredError(str(error)) from None
        validate(frame, table, f"{self.place} {name}").write_parquet(self.stage.folder / name)

    def path(self, file: File) -> Path:
        """Where to write a declared file or folder."""
        if file not in self.step.files:
            raise UndeclaredError(f"{file.name} is no declared file of {self.step.name}")
        return self.stage.folder / file.name.rstrip("/")

    def report(self, rows: int | None = None, tokens: int | None = None, **metrics: Any) -> None:
        """Figures for the manifest."""
        self.rows, self.tokens = rows, tokens
        self.metrics |= metrics

    def show(self, name: str, what: Shown | pl.DataFrame) -> None:
        """Something for people to look at beside the figures; a table is shown by its first rows."""
        self.shown[name] = Preview(what.head(PREVIEW_ROWS)) if isinstance(what, pl.DataFrame) else what
