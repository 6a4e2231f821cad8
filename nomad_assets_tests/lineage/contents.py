"""Simulated stores, and what tests of lineage compare."""

import contextlib
import os

import duckdb
import pytest

from benchmarks.history import History
from nomad_assets.lineage.tables import TABLES
from nomad_assets.store.protocol import Store

ARTIFACTS = 4 + 2 * 3 + 4 * 6  # of one generation of sizes 2 and 4, arms a and b: unpartitioned, per size, per cell


def simulated(store: Store, generations: int) -> History:
    """Generations of sizes 2 and 4, arms a and b, 12 rows a corpus, 6 seeds. Not synced: it has to survive no power cut."""
    history = History(store, [2, 4], ["a", "b"], rows=12, seeds=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        for _ in range(generations):
            history.generation()
    return history


def lineage_contents(store: Store) -> dict[str, list[tuple]]:
    """Every table of the lineage database as it lies there, as sorted rows."""
    with contextlib.closing(duckdb.connect(str(store.database), read_only=True)) as connection:
        return {name: sorted(connection.execute(f'FROM "{name}"').fetchall(), key=repr) for name in TABLES}
