"""Seeds that come from an asset of the user's own instead of files."""

from pathlib import Path
from typing import Any

import polars as pl

from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile, Seeds, Source
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.work import Work

HANDED = "seeds.parquet"


def takes_seeds(work: Work, step: Step) -> bool:
    """Whether a step reads the seed sources themselves."""
    if work.seeds_from is None:
        return False
    configs = {"seeds", "tokenizer_corpus"} & set(step.config.model_fields)
    return bool(configs) and ("seeds" in configs or work.grid.profile.base_model.source == "tiny-random")


def with_handed_seeds(profile: Profile, store: Store) -> Profile:
    """The profile with the handed-over table as its only seed source."""
    return profile.model_copy(update={"seeds": Seeds(sources=[Source(path=str(store.handed(HANDED)))])})


def hand_over(work: Work, table: Any) -> None:
    """Keep the table that an upstream asset yielded where the steps read it.

    A polars or pandas data frame, rows as dictionaries, or the path of a file that can be read as seeds.
    """
    target: Path = work.store.handed(HANDED)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    _frame(table, work.seeds_from).write_parquet(partial)
    partial.rename(target)


def _frame(table: Any, name: str) -> pl.DataFrame:
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    if (
        hasattr(table, "to_arrow")
        or hasattr(table, "__arrow_c_stream__")
        or type(table).__module__.startswith("pandas")
    ):
        return pl.DataFrame(table)
    if isinstance(table, list) and all(isinstance(row, dict) for row in table):
        return pl.DataFrame(table, infer_schema_length=None)
    if isinstance(table, str | Path) and Path(table).suffix in (".parquet", ".jsonl", ".csv"):
        readers = {".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson, ".csv": pl.read_csv}
        return readers[Path(table).suffix](table)
    raise NomadError(
        f"{name} yielded a {type(table).__name__}; a seed table is a data frame, a list of dictionaries, or the path of a "
        ".parquet, .jsonl or .csv file, with columns such as prompt and response"
    )
