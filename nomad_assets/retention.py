"""Retention: superseded versions and staging leftovers are removed, lineage keeps answering for them.

Before a version goes, its manifest and the columns that lineage reads are written below `.pruned/`; then it disappears by
one rename. A version that a step reads is locked and stays; the newest of each place always stays.
"""

import contextlib
import fcntl
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import CONTENT, EXAMPLE_COLUMNS, SCORE_COLUMNS, SEED_COLUMNS, sync_if_free
from nomad_assets.names import VERSION
from nomad_assets.profile.grid import Grid
from nomad_assets.profile.sections import Profile
from nomad_assets.steps import STEPS, serves, wanted_digest
from nomad_assets.storage import MANIFEST, PRUNED, STAGING, Store, read_manifest, sync_path, write_synced

TRASH = "trash"  # below .staging, on the same file system
# Evidence that repeats what the row itself says; other reasons name a twin, a question or bounds.
QUOTING = ("minority_answer", "low_agreement", "wrong_arithmetic")
KEPT_COLUMNS = {
    "curated.parquet": (*EXAMPLE_COLUMNS, "content_md5"),
    "scores.parquet": SCORE_COLUMNS,
    "seeds.parquet": SEED_COLUMNS,
}
KEPT_AS = {
    "content_md5": CONTENT,
    "evidence": f"CASE WHEN reason IN {QUOTING} THEN NULL ELSE evidence END",
}


@dataclass(frozen=True)
class Leftover:
    """Something to remove: its folder, what it is, and its size in bytes."""

    path: Path
    what: str
    size: int


def prune(store: Store, profile: Profile, keep: int = 1, dry_run: bool = False) -> list[Leftover]:
    """Remove all but the `keep` newest versions of every place, and staging folders that no run would continue.

    Returns what was, or with `dry_run` would be, removed. Raises NomadError when `keep` is below 1.
    """
    if keep < 1:
        raise NomadError(f"--keep {keep}: at least 1; the current version is never removed")
    # Staging first: on a full disk it makes the room that the records of versions need.
    staged = _staged(store, profile, dry_run)
    found = [leftover for place in _places(store) for leftover in _superseded(store, place, keep, dry_run)]
    if not dry_run:
        for leftover in (store.root / STAGING / TRASH).glob("*"):  # of a prune that died
            shutil.rmtree(leftover, ignore_errors=True)
        sync_if_free(store)
    return found + staged


def _places(store: Store) -> list[Path]:
    return sorted({(store.root / folder).parent for folder in store.listing()})


def _superseded(store: Store, place: Path, keep: int, dry_run: bool) -> list[Leftover]:
    folders = (p for p in place.iterdir() if VERSION.fullmatch(p.name) and (p / MANIFEST).is_file())
    versions = sorted(folders, key=lambda p: int(p.name[1:]))
    try:
        read_manifest(versions[-1])
    except NomadError:
        return []  # while the newest cannot be read, an older one may be what is left
    removed = []
    for folder in versions[:-keep]:
        with contextlib.ExitStack() as stack:
            try:
                # Writable, since NFS gives an exclusive lock on nothing else.
                manifest = stack.enter_context(open(folder / MANIFEST, "r+b"))
                fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, BlockingIOError):
                continue  # another prune took it, or a step reads it
            removed.append(Leftover(folder, "superseded version", _size(folder)))
            if not dry_run:
                _keep_record(store, folder)
                _discard(store, folder)
    return removed


def _keep_record(store: Store, folder: Path) -> None:
    """Write what lineage needs of a version, whole or not at all."""
    import duckdb

    record = store.root / PRUNED / folder.relative_to(store.root)
    partial = record.with_name(f"{record.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for table, columns in KEPT_COLUMNS.items():
        if (folder / table).is_file() and not (table == "seeds.parquet" and folder.parts[-2] != "seed_examples"):
            chosen = ", ".join(f"{KEPT_AS[name]} AS {name}" if name in KEPT_AS else f'"{name}"' for name in columns)
            with duckdb.connect() as connection:
                connection.sql(f"SELECT {chosen} FROM read_parquet('{_literal(folder / table)}')").write_parquet(
                    str(partial / table)
                )
    write_synced(partial / MANIFEST, (folder / MANIFEST).read_text(encoding="utf-8"))
    if record.is_dir():
        shutil.rmtree(record)  # of a prune that died between its two renames
    os.rename(partial, record)
    sync_path(record.parent)


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")


def _discard(store: Store, folder: Path) -> None:
    """Out of sight by one rename, then deleted: no reader sees half a version."""
    trash = store.root / STAGING / TRASH
    trash.mkdir(parents=True, exist_ok=True)
    gone = trash / f"{os.getpid()}-{time.monotonic_ns()}"
    os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)  # another prune may be clearing up


def _staged(store: Store, profile: Profile, dry_run: bool) -> list[Leftover]:
    """Staging folders that nobody holds and that the next run of this profile would not continue."""
    resumable, removed = _resumable(store, profile), []
    for lock in _locks(store.root / STAGING):
        with open(lock, "w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # a step is at work here
            for folder in sorted(p for p in lock.parent.iterdir() if p.is_dir() and p not in resumable):
                removed.append(Leftover(folder, "staging leftover", _size(folder)))
                if not dry_run:
                    _discard(store, folder)
    return removed


def _locks(staging: Path) -> list[Path]:
    """The lock of every place. Staging folders are beside it, and are not looked into: steps write and delete there."""
    found = []
    for folder, inside, names in os.walk(staging):  # passes over what disappears meanwhile
        if "lock" in names:
            found.append(Path(folder) / "lock")
            inside.clear()
    return sorted(found)


def _resumable(store: Store, profile: Profile) -> set[Path]:
    """Staging folders in which the next run would go on: what it would stage now, where that is not published yet."""
    grid = Grid(profile)
    found = set()
    for step in STEPS.values():
        for cell in grid.members(step.partitions):
            path = _would_stage(store, profile, grid, step, cell)
            if path is not None:
                found.add(path)
    return found


def _would_stage(store: Store, profile: Profile, grid: Grid, step, cell: Cell) -> Path | None:
    try:
        wanted = wanted_digest(step, cell, profile, grid, store)
        done = serves(store.current(step.name, cell), wanted, store.withdrawals())
    except NomadError:
        return None  # a parent is missing: nothing can have been staged from it
    return None if done else store.stage_of(step.name, cell, wanted)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
