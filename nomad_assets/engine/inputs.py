"""What a step's function gets of its parents: what it declared, and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.step import Config, File, Read, Step, View
from nomad_assets.engine.tables import Table
from nomad_assets.errors import NomadError
from nomad_assets.store.manifests import Artifact, Manifest

Parents = dict[tuple[str, Cell], Artifact]
RECORDED = ("seconds", "rows", "tokens", "ended", "host")
"""Facts that are fields of the manifest; any other is one of its metrics."""


class UndeclaredError(Exception):
    """A step's function asked for something that its declaration does not name: a bug in the step."""


def view_of(artifact: Artifact, file: str, view: View, config: Config) -> pl.DataFrame:
    """The declared part of a stored table. Raises NomadError when its file is lost or damaged."""
    # With a choice of rows the function may look at any column; without one only the named columns are read.
    columns = None if view.rows or view.columns is None else list(view.columns)
    try:
        frame = artifact.read(file, columns)
    except (FileNotFoundError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if not artifact.path.is_dir():
            raise  # all of it has gone: the store knows why
        place = f"{artifact.manifest.artifact_id}: {file}"
        raise NomadError(f"{place} cannot be read; `nomad-assets run --repair` makes it again: {error}") from error
    if view.rows:
        frame = view.rows(frame, config)
    return frame if view.columns is None else frame.select(view.columns)


def fact_of(manifest: Manifest, name: str) -> object:
    return getattr(manifest, name) if name in RECORDED else manifest.metrics.get(name)


@dataclass(frozen=True)
class Given:
    """What is read of one artifact of a parent."""

    cell: Cell
    parent: Step
    read: Read
    config: Config
    artifact: Artifact = field(repr=False)

    def table(self, table: type[Table]) -> pl.DataFrame:
        if table not in self.read.tables:
            raise UndeclaredError(f"{table.__name__} of {self.parent.name} is not declared as read")
        return view_of(self.artifact, self.parent.file_of(table), self.read.tables[table], self.config)

    def path(self, file: File) -> Path:
        """A declared file or folder; a folder's path without the slash."""
        if file not in self.read.files:
            raise UndeclaredError(f"{file.name} of {self.parent.name} is not declared as read")
        return self.artifact / file.name.rstrip("/")

    def fact(self, name: str) -> object:
        """A declared figure of the manifest; None where the artifact has none of that name."""
        if name not in self.read.facts:
            raise UndeclaredError(f"the figure {name} of {self.parent.name} is not declared as read")
        return fact_of(self.artifact.manifest, name)


class Inputs:
    """The declared inputs of one step in one cell."""

    def __init__(self, step: Step, graph: Graph, config: Config, parents: Parents, places: list[tuple[str, Cell]]):
        self._step, self._graph, self._config, self._parents = step, graph, config, parents
        self.missing = [place for place in places if place not in parents]
        """Optional places that have no artifact yet."""

    def __getitem__(self, asset: str) -> Given:
        """The one artifact of a parent that is not partitioned more finely than the step."""
        (given,) = self.each(asset)
        return given

    def each(self, asset: str) -> list[Given]:
        """All artifacts of a parent, in the order of the grid."""
        if asset not in self._step.inputs:
            raise UndeclaredError(f"{asset} is no declared input of {self._step.name}")
        read, parent = self._step.inputs[asset], self._graph[asset]
        found = [(cell, artifact) for (name, cell), artifact in self._parents.items() if name == asset]
        return [Given(cell, parent, read, self._config, artifact) for cell, artifact in found]
