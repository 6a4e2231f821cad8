"""How the local store removes things: by one rename out of sight, after lineage has what it needs.

A version that a step reads is locked and stays; so does the newest of each place.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from nomad_assets.cells import Cell
from nomad_assets.durable import sync_path, write_synced
from nomad_assets.errors import NomadError
from nomad_assets.store.layout import LOCK, MANIFEST, PRUNED, STAGING, TRASH
from nomad_assets.store.locks import exclusive_if_free
from nomad_assets.store.manifests import Artifact, OtherFormatError
from nomad_assets.store.protocol import Leftover

Record = Callable[[Artifact, Path], None]


class Pruning:
    """The part of LocalStore that removes."""

    root: Path

    def remove_superseded(self, keep: int, record: Record, dry_run: bool) -> list[Leftover]:
        found = []
        for asset, cell in self.places():
            folders = self._folders(asset, cell)
            try:
                self._artifact(folders[-1])
            except OtherFormatError:
                raise
            except (NomadError, IndexError):
                continue  # while the newest cannot be read, an older one may be what is left
            found += self._remove_versions(folders[:-keep], "superseded version", record, dry_run)
        self._empty_trash(dry_run)
        return found

    def remove_places(self, places: list[tuple[str, Cell]], what: str, record: Record, dry_run: bool) -> list[Leftover]:
        found = []
        for asset, cell in places:
            found += self._remove_versions(self._folders(asset, cell), what, record, dry_run)
        self._empty_trash(dry_run)
        return found

    def remove_stages(self, resumable: set[tuple[str, Cell, str]], dry_run: bool) -> list[Leftover]:
        wanted = {self.stage_folder(*stage) for stage in resumable}
        removed = []
        for lock in self._stage_locks():
            held = FileLock(lock, thread_local=False)
            try:
                held.acquire(timeout=0)
            except Timeout:
                continue  # a step is at work here
            try:
                for folder in sorted(p for p in lock.parent.iterdir() if p.is_dir() and p not in wanted):
                    removed.append(self._leftover(folder, "staging leftover"))
                    if not dry_run:
                        self._throw_away(folder)
            finally:
                held.release()
        return removed

    def _remove_versions(self, folders: list[Path], what: str, record: Record, dry_run: bool) -> list[Leftover]:
        removed = []
        for folder in folders:
            with exclusive_if_free(folder / MANIFEST) as free:
                if not free:
                    continue  # another prune took it, or a step reads it
                removed.append(self._leftover(folder, what))
                if not dry_run:
                    self._write_record(folder, record)
                    self._throw_away(folder)
        return removed

    def _write_record(self, folder: Path, record: Record) -> None:
        """Write what lineage needs of a version, whole or not at all."""
        final = self.root / PRUNED / folder.relative_to(self.root)
        partial = final.with_name(f"{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        record(self._artifact(folder), partial)
        write_synced(partial / MANIFEST, (folder / MANIFEST).read_text(encoding="utf-8"))
        if final.is_dir():
            shutil.rmtree(final)  # of a prune that died between its two renames
        os.rename(partial, final)
        sync_path(final.parent)

    def _throw_away(self, folder: Path) -> None:
        """Out of sight by one rename, then deleted: no reader sees half a version."""
        trash = self.root / STAGING / TRASH
        trash.mkdir(parents=True, exist_ok=True)
        gone = trash / f"{os.getpid()}-{time.monotonic_ns()}"
        os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)  # another prune may be clearing up

    def _empty_trash(self, dry_run: bool) -> None:
        for leftover in () if dry_run else (self.root / STAGING / TRASH).glob("*"):  # of a prune that died
            shutil.rmtree(leftover, ignore_errors=True)

    def _stage_locks(self) -> list[Path]:
        """The lock of every place. Stages are beside it, and are not looked into: steps write and delete there."""
        found = []
        for folder, inside, names in os.walk(self.root / STAGING):  # passes over what disappears meanwhile
            if LOCK in names:
                found.append(Path(folder) / LOCK)
                inside.clear()
        return sorted(found)

    def _leftover(self, folder: Path, what: str) -> Leftover:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Leftover(str(folder.relative_to(self.root)), what, size)
