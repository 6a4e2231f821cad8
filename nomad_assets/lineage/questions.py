"""Free questions to the lineage database."""

import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import reading
from nomad_assets.store.protocol import Store


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
