"""The lineage database as an asset: what the store holds, in figures. It is an index of the store, no artifact in it."""

import inspect

import dagster as dg

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import Check, Finding, Result
from nomad_assets.lineage.summary import every_parent_is_known, summary
from nomad_assets.store.digests import digest
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.automation import freshness
from nomad_assets.wiring.jobs import LINEAGE
from nomad_assets.wiring.metadata import table_value
from nomad_assets.wiring.work import Work

LINEAGE_CHECKS = [Check("every_parent_is_known", "ERROR", every_parent_is_known)]


def lineage_asset(work: Work) -> dg.AssetsDefinition:
    def lineage_db(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every manifest and every judged row in one DuckDB file: `nomad-assets lineage trace`, `lineage sql`.

        Wrong if an artifact names a parent that no manifest describes. Brought up to date after each step and before
        each question; deleting it loses nothing.
        """
        found = summary(work.store)
        nothing = dg.MetadataValue.md("nothing is stored yet")
        return dg.MaterializeResult(
            metadata={
                "summary": table_value(found.table) if found.table.height else nothing,
                "file": dg.MetadataValue.path(str(work.store.database)), **found.counts,
            },
            data_version=dg.DataVersion(digest(found.artifacts)[:16]),
        )  # fmt: skip

    profile = work.grid.profile
    return dg.asset(
        lineage_db, key=work.names.key(LINEAGE), deps=[work.names.key(name) for name in work.grid.graph],
        group_name=work.names.of_grid("lineage"), kinds={"duckdb"}, description=inspect.getdoc(lineage_db),
        owners=profile.owners, tags={**work.tags, "nomad/needs": "cpu"}, freshness_policy=freshness(profile),
    )  # fmt: skip


def check_lineage(store: Store) -> list[Result]:
    """Results of the checks of the database; none where there is no store."""
    if not store.exists():
        return []
    results = []
    for check in LINEAGE_CHECKS:
        try:
            results.append(Result(check, LINEAGE, Cell(), check.function(store), check.severity))
        except Exception as error:  # what cannot be checked has not passed, and says why
            finding = Finding(False, f"could not be checked: {type(error).__name__}: {error}")
            results.append(Result(check, LINEAGE, Cell(), finding, "ERROR"))
    return results
