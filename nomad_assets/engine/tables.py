"""The contract between steps: one pandera model a stored table, in which its columns are written once.

    class SeedSubset(Table):
        id: str = column("id of the seed row", unique=True, copy_of="seed_examples.id")

The UI's column pages, column lineage, OpenLineage events, the lineage database and the docs are derived from it.
Tables are validated eagerly before they are published. A LazyFrame would pass unread: pandera checks only the schema of
one, never its values.
"""

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from nomad_assets.errors import NomadError

MAX_CASES = 20


class Table(pa.DataFrameModel):
    """A stored table."""

    class Config:
        strict = True
        ordered = False


def column(description: str, *, copy_of: str | None = None, computed_from: tuple[str, ...] = (), **constraints):
    """A column: what it means, where its values come from, and what holds of them (pandera's own constraints).

    `copy_of` and `computed_from` name columns of inputs, as "seed_subset.prompt", or as "prompt" for every input that has
    one. Named is what a value is computed from; what only decides which rows there are is not. A column without either is
    made in the step itself.
    """
    return pa.Field(
        description=description, metadata={"copy_of": copy_of, "computed_from": computed_from}, **constraints
    )


def columns(table: type[Table]) -> list[str]:
    """Names of the columns, in order."""
    return list(table.to_schema().columns)


def validate(frame: pl.DataFrame, table: type[Table], place: str) -> pl.DataFrame:
    """The frame itself if it conforms. Raises NomadError with the first 20 failing rows and a count per rule."""
    try:
        return table.validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases
        counts = dict(failures.group_by("check").len().iter_rows())
        cases = failures.head(MAX_CASES).with_columns(pl.all().cast(pl.String, strict=False)).to_dicts()
        rules = ", ".join(f"{rule} ({count} rows)" for rule, count in sorted(counts.items(), key=str))
        raise NomadError(f"{place}: the table breaks its contract {table.__name__}: {rules}", cases, counts) from None
