"""The store in a folder of this machine.

    <root>/<asset>/<partition>/v000001/manifest.json     a published version; the highest number is the current one
    <root>/.staging/<asset>/<partition>/<fingerprint>/   what a step is writing, kept over a crash
    <root>/.staging/<asset>/<partition>/lock             held by the process that works on this place
    <root>/.pruned/<asset>/<partition>/v000001/          what lineage needs of a pruned version
    <root>/.withdrawn/<name>.json                        one withdrawal of seed rows
    <root>/.withdrawn.lock                               held while one is recorded; shared by whoever publishes
    <root>/.agreed/<question>.txt                        answers that all processes share
    <root>/.handed/<name>                                files that something outside the store hands over
    <root>/lineage.duckdb, .lineage.lock                 the lineage database

An artifact is staged on the same file system, validated, its files synced and digested, its manifest written last, and
published by one rename. Publishing never disturbs readers of older versions.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from nomad_assets.cells import Cell
from nomad_assets.durable import is_at, opened, sync_and_digest, sync_folders, sync_path, write_synced
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets.names import VERSION
from nomad_assets.store.digests import digest
from nomad_assets.store.layout import (
    AGREED,
    DATABASE,
    DATABASE_LOCK,
    HANDED,
    LOCK,
    MANIFEST,
    PART,
    PRUNED,
    SCRATCH,
    STAGING,
    WITHDRAWN,
)
from nomad_assets.store.locks import shared_locks
from nomad_assets.store.manifests import FORMAT, Artifact, Manifest, parse_manifest
from nomad_assets.store.protocol import Stage
from nomad_assets.store.pruning import Pruning

GONE = "its folder in {} was removed while the step was running; run again"


class LocalStore(Pruning):
    """Artifacts of one profile under one root folder."""

    def __init__(self, root: Path):
        self.root = root
        self._held: dict[Path, int] = {}

    @property
    def name(self) -> str:
        return str(self.root)

    def exists(self) -> bool:
        return self.root.is_dir()

    def can_write(self) -> bool:
        there = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        return os.access(there, os.W_OK)

    # What is published

    def place(self, asset: str, cell: Cell) -> Path:
        """The folder of a place. Raises NomadError when a name in it could lead out of the store."""
        for part in (asset, *cell.path.parts):
            if not PART.fullmatch(part):
                raise NomadError(
                    f"{asset} [{cell.label}]: {part!r} cannot name a folder; use letters, digits, '.', '_' and '-'"
                )
        return self.root / asset / cell.path

    def versions(self, asset: str, cell: Cell) -> list[Artifact]:
        return [self._artifact(folder) for folder in self._folders(asset, cell)]

    def current(self, asset: str, cell: Cell) -> Artifact | None:
        folders = self._folders(asset, cell)
        return self._artifact(folders[-1]) if folders else None

    def require(self, asset: str, cell: Cell) -> Artifact:
        artifact = self.current(asset, cell)
        if artifact is None:
            raise NotMadeError(asset, cell.label, self.name)
        return artifact

    def _artifact(self, folder: Path) -> Artifact:
        text = (folder / MANIFEST).read_text(encoding="utf-8", errors="replace")
        return Artifact(folder, parse_manifest(text, folder / MANIFEST))

    def _folders(self, asset: str, cell: Cell) -> list[Path]:
        return _versions_in(self.place(asset, cell))

    def places(self) -> list[tuple[str, Cell]]:
        folders = {key.rpartition("/")[0] for key in self.listing()}
        return [place for place in map(_place_at, sorted(folders)) if place is not None]

    def listing(self, pruned: bool = False) -> dict[str, int]:
        # Names and times only: it is what an incremental sync of 10,000 artifacts costs when nothing is new.
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

    def _folder(self, key: str, pruned: bool) -> Path:
        return (self.root / PRUNED if pruned else self.root) / key

    def manifest(self, key: str, pruned: bool = False) -> Manifest:
        return self._artifact(self._folder(key, pruned)).manifest

    def file(self, key: str, name: str, pruned: bool = False) -> Path | None:
        path = self._folder(key, pruned) / name
        return path if path.is_file() else None

    @contextlib.contextmanager
    def reading(self, artifacts: Iterable[Artifact]) -> Iterator[None]:
        named = {artifact / MANIFEST: artifact.manifest.artifact_id for artifact in artifacts}
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(shared_locks(list(named)))
            except FileNotFoundError as error:
                gone = named[Path(error.filename)]
                raise NomadError(f"{gone} was removed before it could be read; run again") from None
            yield

    # Staging and publishing

    def stage_folder(self, asset: str, cell: Cell, fingerprint: str) -> Path:
        return self.root / STAGING / self.place(asset, cell).relative_to(self.root) / fingerprint[:16]

    @contextlib.contextmanager
    def staging(
        self, asset: str, cell: Cell, fingerprint: str, waits: Callable[[str], None] = lambda text: None
    ) -> Iterator[Stage]:
        folder = self.stage_folder(asset, cell, fingerprint)
        base = folder.parent
        base.mkdir(parents=True, exist_ok=True)
        lock = FileLock(base / LOCK, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waits(f"waiting for {asset} [{cell.label}], which another process is making")
            lock.acquire()
        try:
            for other in base.iterdir():
                if other.is_dir() and other != folder:
                    shutil.rmtree(other)
            found = folder.is_dir()
            folder.mkdir(exist_ok=True)
            with opened(folder) as handle:  # while it is open, no other folder can have its number
                self._held[folder] = handle
                try:
                    yield Stage(folder, folder / SCRATCH, found)
                finally:
                    del self._held[folder]
        finally:
            lock.release()

    def discard(self, stage: Stage) -> None:
        shutil.rmtree(stage.folder)

    def publish(self, stage: Stage, asset: str, cell: Cell, heeded: list[dict] | None = None, **record) -> Artifact:
        # The scratch folder is dropped last: until then a step that dies continues from it.
        folder = stage.folder
        (folder / MANIFEST).unlink(missing_ok=True)
        files = {}
        staged = (p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] != SCRATCH)
        for path in sorted(staged):
            files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sync_and_digest(path)}
        content = digest({name: entry["sha256"] for name, entry in files.items()})
        place = self.place(asset, cell)
        place.mkdir(parents=True, exist_ok=True)
        version = self._next_version(place)
        identity = digest([asset, cell.label, version, record["fingerprint"], content])[:12]
        manifest = Manifest(
            format=FORMAT,
            asset=asset,
            partition=cell.label,
            version=version,
            artifact_id=f"{asset}/{cell.label}/{identity}" if cell.label != "-" else f"{asset}/{identity}",
            content_digest=content,
            files=files,
            **record,
        )
        write_synced(folder / MANIFEST, manifest.text())
        sync_folders(folder)
        final = place / f"v{version:06d}"
        if not is_at(self._held[folder], folder):
            # Somebody removed it, and what the step wrote later is in a new folder of its name.
            raise NomadError(GONE.format(self.root))
        with self._withdrawals_locked(shared=True):
            if heeded is not None and heeded != self.withdrawals():
                raise NomadError("seed rows were withdrawn while this step ran; nothing was published, run again")
            shutil.rmtree(stage.scratch, ignore_errors=True)
            os.rename(folder, final)
        sync_path(place)
        return Artifact(final, manifest)

    def _next_version(self, place: Path) -> int:
        # Pruned ones count too: a number is never given twice.
        bases = (place, self.root / PRUNED / place.relative_to(self.root))
        numbers = [int(p.name[1:]) for base in bases for p in base.glob("v[0-9]*") if VERSION.fullmatch(p.name)]
        return 1 + max(numbers, default=0)

    # Withdrawals, and answers that processes share

    def withdrawals(self) -> list[dict]:
        files = sorted((self.root / WITHDRAWN).glob("*.json"))
        return sorted((json.loads(file.read_text(encoding="utf-8")) for file in files), key=lambda w: w["time"])

    @contextlib.contextmanager
    def withdrawing(self) -> Iterator[None]:
        with self._withdrawals_locked(shared=False):
            yield

    @contextlib.contextmanager
    def _withdrawals_locked(self, shared: bool) -> Iterator[None]:
        lock = self.root / f"{WITHDRAWN}.lock"
        if shared:
            lock.touch()
            with shared_locks([lock]):
                yield
        else:
            with FileLock(lock, thread_local=False):
                yield

    def withdraw(self, withdrawal: dict) -> None:
        folder = self.root / WITHDRAWN
        folder.mkdir(parents=True, exist_ok=True)
        name = digest(withdrawal)[:16]
        write_synced(folder / f"{name}.partial", json.dumps(withdrawal, indent=1))
        os.rename(folder / f"{name}.partial", folder / f"{name}.json")
        sync_path(folder)

    def agreed(self, question: str, answer: Callable[[], str]) -> str:
        note = self.root / AGREED / f"{digest(question)[:16]}.txt"
        if not note.is_file():
            note.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(note.parent / LOCK, thread_local=False):
                if not note.is_file():
                    partial = note.with_suffix(".partial")
                    partial.write_text(answer(), encoding="utf-8")
                    os.rename(partial, note)
        return note.read_text(encoding="utf-8")

    def handed(self, name: str) -> Path:
        return self.root / HANDED / name

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @contextlib.contextmanager
    def database_lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / DATABASE_LOCK, thread_local=False):
            yield

    # What goes wrong

    def explain(self, error: Exception, stage: Stage | None) -> str | None:
        # polars, safetensors and torch tell an error number only in the text of errors of their own.
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM):
            if getattr(error, "errno", None) == code or f"(os error {code})" in str(error):
                named = getattr(error, "filename", None)
                if code in (errno.EACCES, errno.EPERM) and not (named and self._concerns(Path(os.fsdecode(named)))):
                    continue  # a source that may not be read, for example
                remedy = "make room" if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "make it writable"
                intact = "What was published before is intact"
                return f"could not write to {self.root}: {os.strerror(code)}; {remedy} and run again. {intact}"
        if stage is not None and (not stage.folder.is_dir() or _is_missing(error, stage.folder)):
            return GONE.format(self.root)
        return None

    def _concerns(self, path: Path) -> bool:
        return path.is_relative_to(self.root) or self.root.is_relative_to(path)


def _folders_in(path: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _place_at(folder: str) -> tuple[str, Cell] | None:
    """The asset and cell of a folder below the root; None for a folder that is not ours, such as somebody's copy."""
    asset, _, label = folder.partition("/")
    try:
        cell = Cell.of_label(label or "-")
    except ValueError:
        return None
    ours = cell.label == (label or "-") and all(PART.fullmatch(part) for part in (asset, *cell.path.parts))
    return (asset, cell) if ours else None


def _versions_in(place: Path) -> list[Path]:
    """Folders of the whole versions of a place, oldest first."""
    found = [p for p in place.glob("v[0-9]*") if VERSION.fullmatch(p.name)]
    return sorted((p for p in found if (p / MANIFEST).is_file()), key=lambda p: int(p.name[1:]))


def _is_missing(error: Exception, stage: Path) -> bool:
    """Whether a file of the staging folder was not there: while somebody removes the folder, it goes file by file."""
    if getattr(error, "errno", None) != errno.ENOENT and f"(os error {errno.ENOENT})" not in str(error):
        return False
    named = getattr(error, "filename", None)
    path = Path(os.fsdecode(named)) if named else stage
    return not path.is_absolute() or path.is_relative_to(stage)  # relative: what rmtree could not find
