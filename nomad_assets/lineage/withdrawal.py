"""Withdrawal of seed rows: what they reached, and the mark that makes the next run do exactly that again."""

import time
from typing import TYPE_CHECKING

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import no_store, reading
from nomad_assets.recipe.data.seed_pool import content_key
from nomad_assets.steps.seeds import SeedExamples, seed_examples
from nomad_assets.store.protocol import Store

if TYPE_CHECKING:
    import duckdb

KNOWN = "SELECT DISTINCT id FROM seeds WHERE list_contains(?, id)"
REACHED = """SELECT r.artifact_id, r.asset, r."partition", r.version, c.artifact_id IS NOT NULL AS current, r.pruned
    FROM reached_by(?) r LEFT JOIN current_artifacts c USING (artifact_id)
    ORDER BY r.train_size NULLS FIRST, r.replicate, r.arm NULLS FIRST, r.variant NULLS FIRST, r.asset, r.version"""


def reach(store: Store, rows: list[str]) -> pl.DataFrame:
    """Every artifact that the seed rows reached: artifact_id, asset, partition, version, current, pruned.

    Raises NomadError naming rows that no pool of this store ever held.
    """
    with reading(store) as connection:
        _rows(connection, store, rows)
        return connection.sql(REACHED, params=[rows]).pl()


def withdraw(store: Store, rows: list[str], reason: str = "") -> pl.DataFrame:
    """Mark everything current that the rows reached as out of date and the rows as not to be used; what `reach` gives.

    The next run makes the marked artifacts again without the rows, and nothing else. Recorded as one file in the store.
    """
    if not store.exists():
        raise no_store(store)
    with store.withdrawing():
        with reading(store) as connection:
            found = _rows(connection, store, rows)
            reached = connection.sql(REACHED, params=[rows]).pl()
        current = reached.filter(reached["current"])["artifact_id"].to_list()
        store.withdraw({"time": time.time(), "reason": reason, "rows": found, "artifacts": current})
    return reached


def _rows(connection: "duckdb.DuckDBPyConnection", store: Store, rows: list[str]) -> dict[str, dict]:
    """Per seed row: the source it has in the current pool (empty when it is not there), and the key of its content.

    The key keeps repeats of the row out after it was deleted; it is empty when every pool that held the row is pruned.
    """
    found: dict[str, dict] = {row: {"source": "", "key": ""} for (row,) in connection.execute(KNOWN, [rows]).fetchall()}
    unknown = sorted(set(rows) - set(found))
    if unknown:
        raise NomadError(
            f"no seed pool of this store ever held {', '.join(unknown)}; ids are those of seed_examples, as in "
            'nomad-assets lineage sql "SELECT id, source, source_row, source_id FROM seeds"'
        )
    versions = store.versions(seed_examples.name, Cell())
    for version in versions:
        held = version.read(seed_examples.file_of(SeedExamples)).filter(pl.col("id").is_in(list(found)))
        for row in held.iter_rows(named=True):
            source = row["source"] if version == versions[-1] else ""
            found[row["id"]] = {"source": source, "key": content_key(row["prompt"], row["response"]).hex()}
    return found
