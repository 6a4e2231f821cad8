"""Retention: superseded versions and staging leftovers are removed, lineage keeps answering for them.

Before a version goes, the store keeps its manifest and the columns that lineage reads. A version that a step reads is locked
and stays; the newest of each place always stays, unless the place is outside the grid and its removal was asked for.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.cells import Cell
from nomad_assets.engine.grid import Grid
from nomad_assets.engine.plan import plan, serves
from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import sync_if_free
from nomad_assets.lineage.tables import TAKEN
from nomad_assets.store.manifests import Artifact, OtherFormatError
from nomad_assets.store.protocol import Leftover, Store

if TYPE_CHECKING:
    import duckdb

OUTSIDE = "outside the grid"


def prune(grid: Grid, store: Store, keep: int = 1, dry_run: bool = False, outside: bool = False) -> list[Leftover]:
    """Remove all but the `keep` newest versions of every place, and stages that no run would continue.

    Places of sizes, arms or assets that the grid does not have are listed, and removed with `outside`. Returns what was, or
    with `dry_run` would be, removed, and what is only listed. Raises NomadError when `keep` is below 1.
    """
    import duckdb

    if keep < 1:
        raise NomadError(f"--keep {keep}: at least 1; the current version is never removed")
    # Stages first: on a full disk they make the room that the records of versions need.
    staged = store.remove_stages(_resumable(grid, store), dry_run)
    orphans = places_outside(grid, store)
    with duckdb.connect() as connection:
        record = functools.partial(_record, connection)
        if outside:
            found = store.remove_places(orphans, OUTSIDE, record, dry_run)
            found += store.remove_superseded(keep, record, dry_run)
        else:
            found = store.remove_superseded(keep, record, dry_run)
            stays = store.remove_places(orphans, OUTSIDE, record, dry_run=True)
            found += [replace(leftover, removed=False) for leftover in stays]
    once: dict[str, Leftover] = {}
    for leftover in found:
        once.setdefault(leftover.place, leftover)  # a dry run finds old versions outside the grid twice
    if not dry_run:
        sync_if_free(store)
    return [*once.values(), *staged]


def places_outside(grid: Grid, store: Store) -> list[tuple[str, Cell]]:
    """Assets and cells that the store has and the grid has not, as after a size or an arm left the profile."""
    inside = {(step.name, cell) for step in grid.graph.values() for cell in grid.members(step.over)}
    return [place for place in store.places() if place not in inside]


def _record(connection: "duckdb.DuckDBPyConnection", artifact: Artifact, folder: Path) -> None:
    """Write what lineage needs of a version into a folder: its columns of the stored tables."""
    for taken in TAKEN.values():
        name = taken.files.get(artifact.manifest.asset)
        if name is not None and (artifact / name).is_file():
            columns = ", ".join(f'{sql} AS "{column}"' for column, sql in taken.recorded().items())
            stored = connection.read_parquet(str(artifact / name))
            stored.project(columns).write_parquet(str(folder / name))


def _resumable(grid: Grid, store: Store) -> set[tuple[str, Cell, str]]:
    """Stages in which the next run would go on: what it would stage now, where that is not published yet."""
    found = set()
    for step in grid.graph.values():
        for cell in grid.members(step.over):
            try:
                now = plan(step, cell, grid, store)
                done = serves(store.current(step.name, cell), now.wanted, now.withdrawals)
            except OtherFormatError:
                raise
            except NomadError:
                continue  # a parent is missing: nothing can have been staged from it
            if not done:
                found.add((step.name, cell, now.wanted.digest))
    return found
