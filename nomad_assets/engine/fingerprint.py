"""What decides whether there is work: the hash of exactly what a step's function gets, and of its version."""

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nomad_assets.cells import Cell
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.inputs import Parents, fact_of, view_of
from nomad_assets.engine.step import Config, Read, Step, View
from nomad_assets.errors import cut
from nomad_assets.profile.fields import Operational
from nomad_assets.store.digests import digest
from nomad_assets.store.manifests import Artifact, Manifest

LONGEST_VALUE = 60  # characters of a setting that are shown
DIGESTS_REMEMBERED = 4096
_digests: dict[tuple, str] = {}


@dataclass(frozen=True)
class Fingerprint:
    """What an artifact would be made from."""

    digest: str
    version: str
    settings: dict
    """The config without what is `Operational`, as JSON."""
    reads: dict[str, str]
    """Asset and partition of each parent -> digest of what is read of it."""
    parents: dict[str, str]
    """Asset and partition of each parent -> its artifact id."""


@dataclass(frozen=True)
class Change:
    """One reason why an artifact is out of date."""

    what: str
    before: object = None
    after: object = None

    def __str__(self) -> str:
        if self.before is None and self.after is None:
            return self.what
        before, after = (cut(str(value), LONGEST_VALUE) for value in (self.before, self.after))
        return f"{self.what} {before} → {after}"


def settings_of(value: Any) -> Any:
    """A config as JSON, without the keys that are inherited from a subclass of `Operational`."""
    if isinstance(value, BaseModel):
        counted = (name for name in type(value).model_fields if not _is_operational(type(value), name))
        return {name: settings_of(getattr(value, name)) for name in counted}
    if isinstance(value, dict):
        return {str(key): settings_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [settings_of(item) for item in value]
    if isinstance(value, Path):
        raise TypeError(f"{value}: a path names a place, not a content; put it in an Operational section")
    return value


@functools.cache
def _is_operational(section: type[BaseModel], name: str) -> bool:
    declared_in = next(cls for cls in section.__mro__ if name in inspect.get_annotations(cls))
    return declared_in.__bases__ == (Operational,)


def fingerprint(step: Step, graph: Graph, config: Config, parents: Parents) -> Fingerprint:
    """The fingerprint of a step with this config and these artifacts of its parents.

    Raises NomadError when a table of theirs cannot be read.
    """
    settings = settings_of(config)
    told = digest(settings)
    reads = {
        f"{name}/{cell.label}": _read_digest(graph[name], step.inputs[name], artifact, config, told)
        for (name, cell), artifact in parents.items()
    }
    made_from = {"step": step.name, "version": step.version, "settings": settings, "reads": reads}
    ids = {f"{name}/{cell.label}": artifact.manifest.artifact_id for (name, cell), artifact in parents.items()}
    return Fingerprint(digest(made_from), step.version, settings, reads, ids)


def _read_digest(parent: Step, read: Read, artifact: Artifact, config: Config, told: str) -> str:
    files = artifact.manifest.files
    tables = {
        table.__name__: _view_digest(artifact, parent.file_of(table), view, config, told)
        for table, view in read.tables.items()
    }
    whole = {name: files[name]["sha256"] for file in read.files for name in files if file.holds(name)}
    facts = {name: fact_of(artifact.manifest, name) for name in read.facts}
    return digest([tables, whole, facts])


def _view_digest(artifact: Artifact, file: str, view: View, config: Config, told: str) -> str:
    """Of the declared part of a table. Versions never change, so it is remembered."""
    if file not in artifact.manifest.files:
        return "absent"
    content = artifact.manifest.files[file]["sha256"]
    if view == View():
        return content
    key = (content, file, view, told if view.rows else None)
    if key not in _digests:
        if len(_digests) >= DIGESTS_REMEMBERED:
            del _digests[next(iter(_digests))]
        frame = view_of(artifact, file, view, config)
        _digests[key] = digest([frame.columns, frame.rows()])
    return _digests[key]


def drift(manifest: Manifest, wanted: Fingerprint) -> list[Change]:
    """Why an artifact is out of date, field by field; empty when it is what a run would make now."""
    if manifest.fingerprint == wanted.digest:
        return []
    changes = []
    if manifest.code_version != wanted.version:
        changes.append(Change("code version", manifest.code_version, wanted.version))
    before, after = dict(flat(manifest.settings)), dict(flat(wanted.settings))
    for key in {**before, **after}:
        if key not in before or key not in after or before[key] != after[key]:
            changes.append(Change(key, before.get(key, "none"), after.get(key, "none")))
    for place in {**manifest.reads, **wanted.reads}:
        if manifest.reads.get(place) != wanted.reads.get(place):
            name, _, label = place.partition("/")
            how = "is new" if place not in manifest.reads else "has gone" if place not in wanted.reads else "changed"
            changes.append(Change(f"{name} [{label}] {how}" if label != "-" else f"{name} {how}"))
    return changes or [Change("how fingerprints are made")]  # by a version of ours that hashed something else


def library_drift(manifest: Manifest, libraries: dict[str, str]) -> list[Change]:
    """Libraries of which another version is installed now. They make nothing out of date."""
    return [
        Change(name, version, libraries.get(name, "not installed"))
        for name, version in manifest.libraries.items()
        if libraries.get(name) != version
    ]


def flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings with dotted keys."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from flat(dict(enumerate(value)), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def place_name(name: str, cell: Cell) -> str:
    return f"{name} [{cell.label}]"
