"""The record of an artifact, and an artifact as whoever reads it has it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.store.layout import MANIFEST

FORMAT = 2  # of manifests and of what artifacts hold; version 0.1 wrote manifests without a format


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact: what it is, what it came from, what it cost. Times are Unix seconds."""

    format: int
    asset: str
    partition: str
    version: int
    artifact_id: str
    fingerprint: str
    """sha256 of code version, settings and what was read of the parents: it decides whether there is work."""
    content_digest: str
    code_version: str
    settings: dict
    """Everything in the step's config that its content depends on."""
    reads: dict[str, str]
    """Asset and partition of each parent -> digest of what was read of it."""
    parents: dict[str, str]
    """Asset and partition of each parent -> its artifact id."""
    run_id: str
    started: float
    ended: float
    files: dict[str, dict]
    """Relative path -> bytes, sha256."""
    rows: int | None = None
    tokens: int | None = None
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    seed: int | None = None
    metrics: dict = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    host: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file["bytes"] for file in self.files.values())

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)


class OtherFormatError(NomadError):
    """The store was written by another version of this project."""


def parse_manifest(text: str, place: Path | str) -> Manifest:
    """Raises NomadError when the text is no manifest, OtherFormatError when it is one of another version."""
    try:
        record = json.loads(text)
        if not isinstance(record, dict) or not record.get("asset"):
            raise ValueError("it names no asset")
    except ValueError as error:
        raise NomadError(f"{place}: not a readable manifest ({error}); remove the folder and run again") from error
    if record.get("format") != FORMAT:
        raise OtherFormatError(
            f"{place}: this store was written by another version of nomad-assets (format {record.get('format', 1)}, this version "
            f"reads {FORMAT}); set NOMAD_HOME to a new folder, or remove the store's folder and run again"
        )
    try:
        return Manifest(**record)
    except TypeError as error:
        raise NomadError(f"{place}: not a readable manifest ({error}); remove the folder and run again") from error


@dataclass(frozen=True)
class Artifact:
    """A published version: its folder on this machine and its manifest."""

    path: Path
    manifest: Manifest

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def files(self) -> dict[str, Path]:
        """Every file that is there, by its relative path, whatever the manifest lists; the manifest is none of them."""
        there = {
            path.relative_to(self.path).as_posix(): path for path in sorted(self.path.rglob("*")) if path.is_file()
        }
        return {name: path for name, path in there.items() if name != MANIFEST}

    def read(self, file: str, columns: list[str] | None = None) -> pl.DataFrame:
        """A stored table by its file's name."""
        return pl.read_parquet(self.path / file, columns=columns)
