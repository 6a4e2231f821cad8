"""What tests of lineage compare."""

import contextlib

import duckdb

from nomad_assets.lineage.tables import TABLES
from nomad_assets.store.protocol import Store

ARTIFACTS = 4 + 2 * 3 + 4 * 6  # of one generation of sizes 2 and 4, arms a and b: unpartitioned, per size, per cell


def lineage_contents(store: Store) -> dict[str, list[tuple]]:
    """Every table of the lineage database as it lies there, as sorted rows."""
    with contextlib.closing(duckdb.connect(str(store.database), read_only=True)) as connection:
        return {name: sorted(connection.execute(f'FROM "{name}"').fetchall(), key=repr) for name in TABLES}
