"""A store in figures, and whether its lineage is complete: what the asset `lineage_db` shows."""

from dataclasses import dataclass

import polars as pl

from nomad_assets.engine.checks import Finding
from nomad_assets.lineage.sync import reading
from nomad_assets.store.protocol import Store

PER_ASSET = """SELECT a.asset, count(DISTINCT a."partition") AS partitions, count(*) AS versions,
    count(*) FILTER (a.pruned) AS pruned, CAST(sum(a."rows") AS BIGINT) AS "rows", CAST(sum(a.tokens) AS BIGINT) AS tokens,
    round(sum(a.seconds) / 60, 1) AS minutes, CAST(round(sum(f.bytes) / 1048576, 1) AS DOUBLE) AS mib
    FROM artifacts a LEFT JOIN (SELECT artifact_id, sum(bytes) AS bytes FROM files GROUP BY 1) f USING (artifact_id)
    GROUP BY 1 ORDER BY min(a.started)"""
COUNTS = """SELECT (SELECT count(*) FROM artifacts) AS artifacts, (SELECT count(*) FROM edges) AS edges,
    (SELECT count(*) FROM examples) AS examples, (SELECT count(*) FROM scores) AS scores,
    (SELECT count(*) FROM withdrawals) AS withdrawn_seed_rows"""
IDS = "SELECT artifact_id FROM artifacts ORDER BY 1"
MISSING = "SELECT child_id, parent_id FROM missing_parents ORDER BY ALL"


@dataclass(frozen=True)
class Summary:
    """The content of a store in figures."""

    table: pl.DataFrame
    """One row an asset, in the order in which they were first made: asset, partitions, versions, pruned, rows, tokens,
    minutes, mib."""
    counts: dict[str, int]
    """Rows of the largest tables."""
    artifacts: list[str]
    """The id of every artifact, sorted: they decide the content of the database."""


def summary(store: Store) -> Summary:
    """Raises NomadError when there is no store."""
    with reading(store) as connection:
        table = connection.sql(PER_ASSET).pl()
        counts = connection.sql(COUNTS).pl().row(0, named=True)
        ids = connection.sql(IDS).pl()["artifact_id"].to_list()
    return Summary(table, counts, ids)


def every_parent_is_known(store: Store) -> Finding:
    """Lineage is complete: every parent of every artifact, pruned ones included, has its manifest in the store."""
    with reading(store) as connection:
        rows = connection.sql(MISSING).fetchall()
        artifacts = connection.sql("SELECT count(*) FROM artifacts").fetchall()[0][0]
    text = (
        f"{rows[0][0]} was made from {rows[0][1]}, which is not here"
        if rows
        else f"{artifacts} artifacts, every parent known"
    )
    return Finding(not rows, text, {"artifacts": artifacts}, [{"artifact": c, "missing_parent": p} for c, p in rows])
