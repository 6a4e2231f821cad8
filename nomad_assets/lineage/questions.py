"""Questions to the lineage database: free ones, and those that the asset `lineage_db` asks."""

from typing import NamedTuple

import polars as pl

from nomad_assets.engine.checks import Finding
from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import reading
from nomad_assets.store.protocol import Store

SUMMARY = """SELECT a.asset, count(DISTINCT a."partition") AS partitions, count(*) AS versions,
    count(*) FILTER (a.pruned) AS pruned, sum(a."rows") AS "rows", sum(a.tokens) AS tokens,
    round(sum(a.seconds) / 60, 1) AS minutes, round(sum(f.bytes) / 1048576, 1) AS mib
    FROM artifacts a LEFT JOIN (SELECT artifact_id, sum(bytes) AS bytes FROM files GROUP BY 1) f USING (artifact_id)
    GROUP BY 1 ORDER BY min(a.started)"""
COUNTS = """SELECT (SELECT count(*) FROM artifacts) AS artifacts, (SELECT count(*) FROM edges) AS edges,
    (SELECT count(*) FROM examples) AS examples, (SELECT count(*) FROM scores) AS scores,
    (SELECT count(*) FROM withdrawals) AS withdrawn_seed_rows"""
IDS = "SELECT artifact_id FROM artifacts ORDER BY 1"
MISSING = "SELECT child_id, parent_id FROM missing_parents ORDER BY ALL"


def ask(store: Store, query: str) -> pl.DataFrame:
    """The answer to an SQL question, asked of a read-only connection that sees nothing but lineage.

    Raises NomadError with DuckDB's words when it cannot be answered.
    """
    import duckdb

    with reading(store) as connection:
        try:
            answer = connection.sql(query)
            return pl.DataFrame() if answer is None else answer.pl()
        # The second for types that polars lacks, such as INTERVAL.
        except (duckdb.Error, pl.exceptions.PolarsError) as error:
            raise NomadError(f"the question could not be answered: {error}") from None


class Summary(NamedTuple):
    """The content of a store in figures."""

    columns: list[str]
    rows: list[tuple]
    """One an asset, in the order in which they were first made."""
    counts: dict[str, int]
    """Rows of the largest tables."""
    ids: list[str]
    """Of every artifact, sorted: what the content of the database is decided by."""


def summary(store: Store) -> Summary:
    with reading(store) as connection:
        answer = connection.sql(SUMMARY)
        columns, rows = answer.columns, answer.fetchall()
        counts = connection.sql(COUNTS)
        named = dict(zip(counts.columns, counts.fetchall()[0], strict=True))
        ids = [artifact_id for (artifact_id,) in connection.sql(IDS).fetchall()]
    return Summary(columns, rows, named, ids)


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
