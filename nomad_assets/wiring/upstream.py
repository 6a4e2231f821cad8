"""Seeds that come from an asset of the user's own instead of the profile's files.

The table is handed over as a JSONL file beside the artifacts, one row a line, and from there on it is a seed source like
any other: the same formats, the same validation, known by its content. So equal rows remake nothing, and what runs
without Dagster sees the rows that were handed over last.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nomad_assets.durable import write_synced
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.opening import handed_table
from nomad_assets.recipe.models.base_models import TINY

if TYPE_CHECKING:
    from nomad_assets.wiring.work import Work


def takes_seeds(work: "Work", step: Step) -> bool:
    """Whether a step reads the seed sources themselves."""
    if work.seeds_from is None:
        return False
    fields = step.config.model_fields
    return "seeds" in fields or ("tokenizer_corpus" in fields and work.grid.profile.base_model.source == TINY)


def hand_over(work: "Work", table: Any) -> None:
    """Keep the table that the upstream asset yielded where the steps read it; a file of the same rows is left alone.

    A data frame (polars, pandas, or anything that speaks Arrow) or a list of dictionaries.
    Raises NomadError when it is something else or has no rows. Rows are validated by the steps, as those of files are.
    """
    rows = list(_rows(table, work.seeds_from))
    if not rows:
        raise NomadError(f"{work.seeds_from} yielded a table without rows; seeds need at least one")
    text = "".join(f"{json.dumps(row, ensure_ascii=False, default=_plain)}\n" for row in rows)
    target = handed_table(work.store, work.seeds_from)
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two steps of one grid read the seeds, and may do so at once.
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".partial")
    os.close(handle)
    try:
        write_synced(Path(partial), text)
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)


def _rows(table: Any, name: str) -> Iterator[dict]:
    if isinstance(table, list) and all(isinstance(row, dict) for row in table):
        return iter(table)
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if not isinstance(table, pl.DataFrame):
        if not (hasattr(table, "__arrow_c_stream__") or type(table).__module__.startswith("pandas")):
            why = "; an asset with partitions cannot hand over seeds" if isinstance(table, dict) else ""
            raise NomadError(
                f"{name} yielded a {type(table).__name__}{why}; a seed table is a data frame or a list of dictionaries, with "
                "columns such as prompt and response"
            )
        table = pl.DataFrame(table)
    return table.iter_rows(named=True)


def _plain(value: Any) -> Any:
    """What JSON has no type for. A date in a column that is no text is nothing to a seed; as a prompt it is refused."""
    if hasattr(value, "tolist"):  # NumPy's
        return value.tolist()
    return {type(value).__name__: str(value)}
