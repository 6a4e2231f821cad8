"""The lineage database as an asset: what the store holds, in figures."""

import inspect

import dagster as dg

from nomad_assets.assets.automation import freshness
from nomad_assets.assets.project import Project
from nomad_assets.checks import LINEAGE
from nomad_assets.lineage.sync import path_of, reading
from nomad_assets.steps import STEPS
from nomad_assets.storage import digest

SUMMARY = """SELECT a.asset, count(DISTINCT a."partition") AS partitions, count(*) AS versions,
    count(*) FILTER (a.pruned) AS pruned, sum(a."rows") AS "rows", sum(a.tokens) AS tokens,
    round(sum(a.seconds) / 60, 1) AS minutes, round(sum(f.bytes) / 1048576, 1) AS mib
    FROM artifacts a LEFT JOIN (SELECT artifact_id, sum(bytes) AS bytes FROM files GROUP BY 1) f USING (artifact_id)
    GROUP BY 1 ORDER BY min(a.started)"""
COUNTS = """SELECT (SELECT count(*) FROM artifacts), (SELECT count(*) FROM edges), (SELECT count(*) FROM examples),
    (SELECT count(*) FROM scores), (SELECT count(*) FROM withdrawals)"""


def lineage_asset(project: Project) -> dg.AssetsDefinition:
    def lineage_db(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every manifest and every judged row in one DuckDB file: `nomad-assets lineage trace`, `lineage sql`.

        Wrong if an artifact names a parent that no manifest describes. Brought up to date after each step and before
        each question; deleting it loses nothing.
        """
        with reading(project.store) as connection:
            answer = connection.sql(SUMMARY)
            columns, rows = answer.columns, answer.fetchall()
            names = ("artifacts", "edges", "examples", "scores", "withdrawn_seed_rows")
            counts = dict(zip(names, connection.execute(COUNTS).fetchall()[0], strict=True))
            ids = connection.sql("SELECT artifact_id FROM artifacts ORDER BY 1").fetchall()
        records = [
            dg.TableRecord({k: "" if v is None else str(v) for k, v in zip(columns, row, strict=True)}) for row in rows
        ]
        summary = dg.MetadataValue.table(records) if records else dg.MetadataValue.md("nothing is stored yet")
        return dg.MaterializeResult(
            metadata={"summary": summary, "file": dg.MetadataValue.path(str(path_of(project.store))), **counts},
            data_version=dg.DataVersion(digest(ids)[:16]),
        )

    description = inspect.getdoc(lineage_db)
    return dg.asset(
        lineage_db, name=LINEAGE, deps=list(STEPS), group_name="lineage", kinds={"duckdb"}, description=description,
        owners=project.profile.owners, tags={"nomad/profile": project.profile.name, "nomad/needs": "cpu"},
        freshness_policy=freshness(project.profile),
    )  # fmt: skip
