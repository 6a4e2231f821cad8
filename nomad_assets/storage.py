"""Where artifacts live, how they are published, and their manifests.

    <root>/<asset>/<partition>/v000001/manifest.json      a published version; the highest number is the current one
    <root>/.staging/<asset>/<partition>/<input digest>/   what a step is writing, kept over a crash
    <root>/.staging/<asset>/<partition>/lock              held (flock) by the process that works on this place
    <root>/.pruned/<asset>/<partition>/v000001/           what lineage keeps of a pruned version
    <root>/.withdrawn/<name>.json                         one withdrawal of seed rows
    <root>/.withdrawn.lock                                held while one is recorded; shared by whoever publishes

An artifact is staged on the same file system, validated, its files synced and digested, its manifest written last,
and published by one rename. Versions are never changed, so a reader that is in an older one is not broken by a new one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.names import VERSION
from nomad_assets.profile.sections import Profile

MANIFEST = "manifest.json"
SPARE_FILES = 512  # what the rest of a process has open
SCRATCH = "scratch"  # inside staging: checkpoints and shards, never published
STAGING, PRUNED, WITHDRAWN = ".staging", ".pruned", ".withdrawn"
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a path inside the store


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
        self._held: dict[Path, int] = {}

    @classmethod
    def of(cls, profile: Profile) -> "Store":
        """The store of a profile: a folder of its name under `NOMAD_HOME` (default `data/lake`).

        One folder per profile, so that two profiles with the same cells do not supersede each other's artifacts.
        """
        return cls(Path(os.environ.get("NOMAD_HOME") or "data/lake").resolve() / profile.name)

    def place(self, asset: str, cell: Cell) -> Path:
        """The folder of a place. Raises NomadError when a name in it could lead out of the store."""
        for part in (asset, *cell.path.parts):
            if not PART.fullmatch(part):
                raise NomadError(
                    f"{asset} [{cell.label}]: {part!r} cannot name a folder; use letters, digits, '.', '_' and '-'"
                )
        return self.root / asset / cell.path

    def versions(self, asset: str, cell: Cell) -> list[Artifact]:
        """Published versions, oldest first."""
        return [Artifact(folder, read_manifest(folder)) for folder in self._folders(asset, cell)]

    def current(self, asset: str, cell: Cell) -> Artifact | None:
        folders = self._folders(asset, cell)
        return Artifact(folders[-1], read_manifest(folders[-1])) if folders else None

    def _folders(self, asset: str, cell: Cell) -> list[Path]:
        found = [p for p in self.place(asset, cell).glob("v[0-9]*") if VERSION.fullmatch(p.name)]
        return sorted((p for p in found if (p / MANIFEST).is_file()), key=lambda p: int(p.name[1:]))

    def require(self, asset: str, cell: Cell) -> Artifact:
        """The current artifact. Raises NomadError saying what to materialise when there is none."""
        artifact = self.current(asset, cell)
        if artifact is None:
            raise NomadError(f"{asset} [{cell.label}] has not been materialised in {self.root}; materialise it first")
        return artifact

    def listing(self, pruned: bool = False) -> dict[str, int]:
        """Folder (relative to the root) -> time stamp of the manifest, of every published or every pruned version.

        Reads names and times only: it is what an incremental sync of 10,000 artifacts costs when nothing is new.
        """
        root = self.root / PRUNED if pruned else self.root
        found: dict[str, int] = {}
        queue = [entry.path for entry in _folders_in(root) if not entry.name.startswith(".")]
        while queue:
            for entry in _folders_in(queue.pop()):
                if VERSION.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):  # not whole yet, or pruned a moment ago
                        stamp = os.stat(f"{entry.path}/{MANIFEST}").st_mtime_ns
                        found[os.path.relpath(entry.path, root)] = stamp
                else:
                    queue.append(entry.path)
        return found

    @contextlib.contextmanager
    def reading(self, artifacts: Iterable[Artifact]) -> Iterator[None]:
        """Keep versions from being pruned while they are read: a shared lock on each manifest.

        Raises NomadError when one is gone already.
        """
        artifacts = list(artifacts)
        _allow_open_files(len(artifacts))
        with contextlib.ExitStack() as stack:
            for artifact in artifacts:
                gone = NomadError(f"{artifact.manifest.artifact_id} was removed before it could be read; run again")
                try:
                    file = stack.enter_context(open(artifact / MANIFEST, encoding="utf-8"))
                except FileNotFoundError:
                    raise gone from None
                fcntl.flock(file, fcntl.LOCK_SH)
                if not _is_at(file.fileno(), artifact / MANIFEST):
                    raise gone
            yield

    def withdrawals(self) -> list[dict]:
        """Withdrawals of seed rows, oldest first: `time`, `reason`, `rows` (seed id -> source and content key), and
        `artifacts` (ids they reached)."""
        files = sorted((self.root / WITHDRAWN).glob("*.json"))
        return sorted((json.loads(file.read_text(encoding="utf-8")) for file in files), key=lambda w: w["time"])

    @contextlib.contextmanager
    def withdrawing(self) -> Iterator[None]:
        """Nothing is published while this is held, so that a withdrawal lists all that there is."""
        with self._withdrawals_locked(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _withdrawals_locked(self, kind: int) -> Iterator[None]:
        with open(self.root / f"{WITHDRAWN}.lock", "w") as lock:
            fcntl.flock(lock, kind)
            yield

    def withdraw(self, withdrawal: dict) -> None:
        """Record a withdrawal: from now on its artifacts count as out of date, and its rows are left out of the pool."""
        folder = self.root / WITHDRAWN
        folder.mkdir(parents=True, exist_ok=True)
        name = digest(withdrawal)[:16]
        write_synced(folder / f"{name}.partial", json.dumps(withdrawal, indent=1))
        os.rename(folder / f"{name}.partial", folder / f"{name}.json")
        sync_path(folder)

    def stage_of(self, asset: str, cell: Cell, input_digest: str) -> Path:
        return self.root / STAGING / self.place(asset, cell).relative_to(self.root) / input_digest[:16]

    @contextlib.contextmanager
    def staging(self, asset: str, cell: Cell, input_digest: str) -> Iterator[Path]:
        """A staging folder for one input digest, exclusively held until the block ends.

        A folder left by a step that died is found again; folders of other digests are removed. Waits while another
        process works on the same place. After a publish the folder is gone; after an error it stays for the next try.
        """
        stage = self.stage_of(asset, cell, input_digest)
        base = stage.parent
        base.mkdir(parents=True, exist_ok=True)
        with open(base / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for other in base.iterdir():
                if other.is_dir() and other != stage:
                    shutil.rmtree(other)
            stage.mkdir(exist_ok=True)
            with _opened(stage) as folder:  # while it is open, no other folder can have its number
                self._held[stage] = folder
                try:
                    yield stage
                finally:
                    del self._held[stage]

    def publish(self, stage: Path, asset: str, cell: Cell, withdrawals: list[dict] | None = None, **record) -> Artifact:
        """Digest and sync what is staged, write the manifest last, and rename the folder into place.

        `record` holds the manifest's other fields. `withdrawals` are those that the step has heeded; raises NomadError
        when there are others by now. The scratch folder is dropped last: until then a step that dies continues from it.
        """
        (stage / MANIFEST).unlink(missing_ok=True)
        files = {}
        staged = (p for p in stage.rglob("*") if p.is_file() and p.relative_to(stage).parts[0] != SCRATCH)
        for path in sorted(staged):
            files[path.relative_to(stage).as_posix()] = {"bytes": path.stat().st_size, "sha256": sync_and_digest(path)}
        content = digest({name: entry["sha256"] for name, entry in files.items()})
        place = self.place(asset, cell)
        place.mkdir(parents=True, exist_ok=True)
        # Pruned ones count too: a number is never given twice.
        numbers = [
            int(p.name[1:])
            for base in (place, self.root / PRUNED / place.relative_to(self.root))
            for p in base.glob("v[0-9]*")
            if VERSION.fullmatch(p.name)
        ]
        version = 1 + max(numbers, default=0)
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
        if not _is_at(self._held[stage], stage):
            # Somebody removed it, and what the step wrote later is in a new folder of its name.
            raise NomadError(f"its folder in {self.root} was removed while the step was running; run again")
        with self._withdrawals_locked(fcntl.LOCK_SH):
            if withdrawals is not None and withdrawals != self.withdrawals():
                raise NomadError("seed rows were withdrawn while this step ran; nothing was published, run again")
            shutil.rmtree(stage / SCRATCH, ignore_errors=True)
            os.rename(stage, final)
        sync_path(place)
        return Artifact(final, manifest)


def _allow_open_files(count: int) -> None:
    """Room for that many more, where the system's own limit allows it: the report of a large grid reads thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _folders_in(path: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


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
    try:
        if path.is_file():
            return file_digest(path)
        return digest({p.relative_to(path).as_posix(): file_digest(p) for p in sorted(path.rglob("*")) if p.is_file()})
    except OSError as error:
        raise NomadError(f"{error.filename or path}: could not be read: {error.strerror}") from error


def sync_and_digest(path: Path) -> str:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def sync_path(path: Path) -> None:
    """Have a file or a folder's entries reach the disk."""
    with _opened(path) as handle:
        os.fsync(handle)


def sync_folders(path: Path) -> None:
    for folder in [path, *(p for p in path.rglob("*") if p.is_dir())]:
        sync_path(folder)
