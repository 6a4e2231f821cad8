"""Running a step's function on a copy of exactly what it declares, and noting what it looks at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import settings_of
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.inputs import RECORDED, Given, Inputs, Parents, fact_of, view_of
from nomad_assets.engine.output import Output
from nomad_assets.engine.plan import plan
from nomad_assets.engine.step import Config, Read, Step, View
from nomad_assets.engine.tables import Table
from nomad_assets.grid import Grid
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact

Change = Callable[[str, type[Table], pl.DataFrame], pl.DataFrame]
"""(parent, contract, what is declared of the table) -> what the step is given."""


def unchanged(parent: str, table: type[Table], frame: pl.DataFrame) -> pl.DataFrame:
    return frame


@dataclass(frozen=True)
class NotingGiven(Given):
    noted: set[tuple[str, str]] = field(default_factory=set)

    def table(self, table: type[Table]) -> pl.DataFrame:
        self.noted.add((self.parent.name, table.__name__))
        return super().table(table)

    def path(self, file) -> Path:
        self.noted.add((self.parent.name, file.name))
        return super().path(file)

    def fact(self, name: str) -> object:
        self.noted.add((self.parent.name, name))
        return super().fact(name)


class NotingInputs(Inputs):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.noted: set[tuple[str, str]] = set()

    def each(self, asset: str) -> list[Given]:
        return [NotingGiven(**vars(given), noted=self.noted) for given in super().each(asset)]


def noting(value: Any, noted: set[str], prefix: str = "") -> Any:
    """A config whose sections note the dotted keys that are looked at."""
    if isinstance(value, dict):
        return {key: noting(item, noted, f"{prefix}{key}.") for key, item in value.items()}
    if isinstance(value, list):
        return [noting(item, noted, f"{prefix}{number}.") for number, item in enumerate(value)]
    if not isinstance(value, BaseModel):
        return value
    model = type(value)

    def look(self: BaseModel, name: str) -> Any:
        if name in model.model_fields:
            noted.add(f"{prefix}{name}")
        return model.__getattribute__(self, name)

    inside = {name: noting(getattr(value, name), noted, f"{prefix}{name}.") for name in model.model_fields}
    return type(model.__name__, (model,), {"__getattribute__": look, "__module__": __name__}).model_construct(**inside)


def declared_keys(config: Config) -> set[str]:
    """Dotted keys of everything in a config that counts. A thing outside the store is looked at by its address."""
    found = set(_counted(config, ""))
    return found if "seed" in config.model_fields_set else found - {"seed"}


def _counted(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        if place := {"address", "plugin"} & set(type(value).model_fields):
            yield f"{prefix}{place.pop()}"
            return
        entries = {name: getattr(value, name) for name in settings_of(value)}
    else:
        entries = value if isinstance(value, dict) else dict(enumerate(value))
    for name, entry in entries.items():
        inside = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        if isinstance(entry, BaseModel) or any(isinstance(one, BaseModel) for one in inside):
            yield from _counted(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def declared_parts(step: Step, grid: Grid, cell: Cell) -> set[tuple[str, str]]:
    """(parent, contract, file or figure) of everything that a step declares as read in a cell."""
    return {
        (parent, name)
        for parent, read in step.inputs.items()
        if read.when is None or read.when(grid, cell)
        for name in (*(table.__name__ for table in read.tables), *(file.name for file in read.files), *read.facts)
    }


@dataclass(frozen=True)
class Ran:
    artifact: Artifact
    parts: set[tuple[str, str]]
    """Of the parents, what was looked at."""
    keys: set[str]
    """Of the config, what was looked at."""
    config: Config


def run_on_declared(
    step: Step, cell: Cell, grid: Grid, store: LocalStore, folder: Path, change: Change = unchanged
) -> Ran:
    """Run a step's function on what it declares of the store's artifacts, copied below `folder`, and publish it there."""
    now = plan(step, cell, grid, store)
    parents: Parents = {
        place: _stripped(artifact, grid.graph, step.inputs[place[0]], now.config, folder / f"{n}", change)
        for n, (place, artifact) in enumerate(now.parents.items())
    }
    inputs = {name: replace(read, tables=dict.fromkeys(read.tables, View())) for name, read in step.inputs.items()}
    whole, keys = replace(step, inputs=inputs), set()
    given = NotingInputs(whole, grid.graph, now.config, parents, grid.places(step, cell))
    own = LocalStore(folder / "store")
    with own.staging(step.name, cell, now.wanted.digest) as stage:
        out = Output(step, f"{step.name} [{cell.label}]", stage, agreed=store.agreed)
        step.body(noting(now.config, keys), given, out)
        artifact = own.publish(
            stage, step.name, cell, fingerprint=now.wanted.digest, settings={}, reads={}, parents={}, code_version=step.version,
            run_id="", started=0.0, ended=0.0,
        )  # fmt: skip
    return Ran(artifact, given.noted, keys, now.config)


def _stripped(artifact: Artifact, graph: Graph, read: Read, config: Config, folder: Path, change: Change) -> Artifact:
    """A copy of an artifact that has nothing but what is declared."""
    folder.mkdir(parents=True)
    record, parent = artifact.manifest, graph[artifact.manifest.asset]
    for table, view in read.tables.items():
        name = parent.file_of(table)
        change(parent.name, table, view_of(artifact, name, view, config)).write_parquet(folder / name)
    for name in record.files:
        if any(file.holds(name) for file in read.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((artifact / name).read_bytes())
    told = {name: fact_of(record, name) for name in read.facts}
    recorded = {name: told.get(name) for name in RECORDED}
    metrics = {name: value for name, value in told.items() if name not in RECORDED}
    bare = {"settings": {}, "reads": {}, "parents": {}, "files": {}, "libraries": {}, "seed": None}
    return Artifact(folder, replace(record, **bare, **recorded, metrics=metrics))
