"""Where artifacts live, how they are published, and their manifests.

    <root>/<asset>/<partition>/v000001/manifest.json      a published version; the highest number is the current one
    <root>/.staging/<asset>/<partition>/<input digest>/   what a step is writing, kept over a crash
    <root>/.staging/<asset>/<partition>/lock              held (flock) by the process that works on this place

An artifact is staged on the same file system, validated, its files synced and digested, its manifest written last,
and published by one rename. Versions are never changed, so a reader that is in an older one is not broken by a new one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nomad_assets.errors import NomadError
from nomad_assets.partitions import Cell
from nomad_assets.profile import Profile

MANIFEST = "manifest.json"
SCRATCH = "scratch"  # inside staging: checkpoints and shards, never published


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact: what it is, what it came from, what it cost. Times are Unix seconds."""

    asset: str
    partition: str
    version: int
    artifact_id: str
    input_digest: str
    content_digest: str
    code_version: str
    settings: dict
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


@dataclass(frozen=True)
class Artifact:
    """A published version: its folder and its manifest."""

    path: Path
    manifest: Manifest

    def __truediv__(self, name: str) -> Path:
        return self.path / name


class Store:
    """All artifacts of one profile, under one root."""

    def __init__(self, root: Path):
        self.root = root

    @classmethod
    def of(cls, profile: Profile) -> "Store":
        """The store of a profile: a folder of its name under `NOMAD_HOME` (default `data/lake`).

        One folder per profile, so that two profiles with the same cells do not supersede each other's artifacts.
        """
        return cls(Path(os.environ.get("NOMAD_HOME") or "data/lake").resolve() / profile.name)

    def place(self, asset: str, cell: Cell) -> Path:
        return self.root / asset / cell.path

    def versions(self, asset: str, cell: Cell) -> list[Artifact]:
        """Published versions, oldest first."""
        place = self.place(asset, cell)
        folders = sorted(p for p in place.glob("v[0-9]*") if (p / MANIFEST).is_file())
        return [Artifact(folder, read_manifest(folder)) for folder in folders]

    def current(self, asset: str, cell: Cell) -> Artifact | None:
        place = self.place(asset, cell)
        for folder in sorted(place.glob("v[0-9]*"), reverse=True):
            if (folder / MANIFEST).is_file():
                return Artifact(folder, read_manifest(folder))
        return None

    def require(self, asset: str, cell: Cell) -> Artifact:
        """The current artifact. Raises NomadError saying what to materialise when there is none."""
        artifact = self.current(asset, cell)
        if artifact is None:
            raise NomadError(f"{asset} [{cell.label}] has not been materialised in {self.root}; materialise it first")
        return artifact

    @contextlib.contextmanager
    def staging(self, asset: str, cell: Cell, input_digest: str) -> Iterator[Path]:
        """A staging folder for one input digest, exclusively held until the block ends.

        A folder left by a step that died is found again; folders of other digests are removed. Waits while another
        process works on the same place. After a publish the folder is gone; after an error it stays for the next try.
        """
        base = self.root / ".staging" / asset / cell.path
        base.mkdir(parents=True, exist_ok=True)
        with open(base / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stage = base / input_digest[:16]
            for other in base.iterdir():
                if other.is_dir() and other != stage:
                    shutil.rmtree(other)
            stage.mkdir(exist_ok=True)
            yield stage

    def publish(self, stage: Path, asset: str, cell: Cell, **record) -> Artifact:
        """Digest and sync what is staged, write the manifest last, and rename the folder into place.

        `record` holds the manifest's other fields. The scratch folder is dropped first.
        """
        shutil.rmtree(stage / SCRATCH, ignore_errors=True)
        (stage / MANIFEST).unlink(missing_ok=True)
        files = {}
        for path in sorted(p for p in stage.rglob("*") if p.is_file()):
            files[path.relative_to(stage).as_posix()] = {"bytes": path.stat().st_size, "sha256": sync_and_digest(path)}
        content = digest({name: entry["sha256"] for name, entry in files.items()})
        place = self.place(asset, cell)
        place.mkdir(parents=True, exist_ok=True)
        version = 1 + max((int(p.name[1:]) for p in place.glob("v[0-9]*")), default=0)
        identity = digest([asset, cell.label, version, record["input_digest"], content])[:12]
        manifest = Manifest(
            asset=asset,
            partition=cell.label,
            version=version,
            artifact_id=f"{asset}/{cell.label}/{identity}" if cell.label != "-" else f"{asset}/{identity}",
            content_digest=content,
            files=files,
            **record,
        )
        write_synced(stage / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True))
        sync_folders(stage)
        final = place / f"v{version:06d}"
        os.rename(stage, final)
        sync_folder(place)
        return Artifact(final, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Raises NomadError when the manifest is not one of ours."""
    path = folder / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise NomadError(f"{path}: not a readable manifest ({error}); remove the folder and run again") from error


def digest(value: object) -> str:
    """sha256 (hex) of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(path: Path) -> str:
    """sha256 (hex) of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return file_digest(path)
    return digest({p.relative_to(path).as_posix(): file_digest(p) for p in sorted(path.rglob("*")) if p.is_file()})


def sync_and_digest(path: Path) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(path: Path) -> None:
    for folder in [path, *(p for p in path.rglob("*") if p.is_dir())]:
        sync_folder(folder)
