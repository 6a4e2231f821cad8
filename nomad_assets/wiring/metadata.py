"""What Dagster is told of an artifact: figures, columns, previews and plots."""

import dagster as dg
import polars as pl

from nomad_assets.engine.graph import Graph
from nomad_assets.engine.output import Markdown, Picture, Preview, Shown
from nomad_assets.engine.step import Step
from nomad_assets.store.manifests import Artifact
from nomad_assets.wiring.names import Names


def column_metadata(step: Step, graph: Graph, names: Names) -> dict[str, object]:
    """Schema of the main table's columns, and their lineage where there is any."""
    lineage = {
        column: [dg.TableColumnDep(names.key(parent), name) for parent, name in pairs]
        for column, (pairs, _) in graph.column_sources(step.name).items()
    }
    return {
        **({"dagster/column_schema": table_schema(step)} if step.main else {}),
        **({"dagster/column_lineage": dg.TableColumnLineage(lineage)} if lineage else {}),
    }


def table_schema(step: Step) -> dg.TableSchema:
    """Names, types and meanings of the main table's columns."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                str(column.dtype),
                column.description,
                dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique),
            )
            for name, column in step.main.to_schema().columns.items()
        ]
    )


def artifact_metadata(artifact: Artifact, price_per_hour: float | None) -> dict[str, object]:
    record = artifact.manifest
    facts: dict[str, object] = {"artifact_id": record.artifact_id}
    if record.rows is not None:
        facts["dagster/row_count"] = record.rows
    facts |= {name: value for name, value in record.metrics.items() if isinstance(value, int | float | str)}
    if record.tokens is not None:
        facts["tokens"] = record.tokens
    facts["seconds"] = record.seconds
    if price_per_hour is not None:
        facts["cost"] = record.seconds / 3600 * price_per_hour
    if record.peak_memory_bytes is not None:
        facts["peak_memory_mib"] = record.peak_memory_bytes / 2**20
    facts["mib_on_disk"] = record.size / 2**20
    facts["folder"] = dg.MetadataValue.path(str(artifact.path))
    facts["parents"] = dg.MetadataValue.md("\n".join(f"- `{parent}`" for parent in record.parents.values()) or "none")
    return facts


def shown_metadata(shown: dict[str, Shown]) -> dict[str, dg.MetadataValue]:
    return {name: _value(what) for name, what in shown.items()}


def _value(what: Shown) -> dg.MetadataValue:
    if isinstance(what, Preview):
        return table_value(what.frame)
    if isinstance(what, Markdown):
        return dg.MetadataValue.md(what.text)
    return _picture(what)


def table_value(frame: pl.DataFrame) -> dg.MetadataValue:
    """A table for the UI."""
    records = frame.with_columns(pl.all().cast(pl.String, strict=False)).to_dicts()
    if not records:
        return dg.MetadataValue.md("no rows")
    return dg.MetadataValue.table(
        [dg.TableRecord({k: v if v is not None else "" for k, v in row.items()}) for row in records]
    )


def _picture(picture: Picture) -> dg.MetadataValue:
    """A plot as a small inline PNG, which the UI shows inside the metadata."""
    from nomad_assets.recipe.report import plots

    return dg.MetadataValue.md(f"![{picture.alt}](data:image/png;base64,{plots.png_base64(picture.chart)})")


def shown_before(context: dg.AssetExecutionContext, artifact_id: str) -> dict[str, dg.MetadataValue]:
    """Preview and plots of an earlier materialisation of the same artifact: the page of a reused one shows them too."""
    partitions = [context.partition_key] if context.has_partition_key else None
    wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=partitions)
    for record in context.instance.fetch_materializations(wanted, limit=5).records:
        metadata = record.asset_materialization.metadata
        if (known := metadata.get("artifact_id")) is not None and known.value == artifact_id:
            return {
                key: value
                for key, value in metadata.items()
                if isinstance(value, dg.MarkdownMetadataValue | dg.TableMetadataValue) and key != "parents"
            }
    return {}
