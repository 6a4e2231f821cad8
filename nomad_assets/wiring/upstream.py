"""Seeds that come from an asset of the user's own instead of the profile's files.

The table is handed over as a JSONL file beside the artifacts, one row a line, and from there on it is a seed source like
any other: the same formats, the same validation, known by its content. So equal rows remake nothing, and what runs
without Dagster sees the rows that were handed over last.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.durable import write_synced
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile, Seeds, Source
from nomad_assets.recipe.models.base_models import TINY
from nomad_assets.store.protocol import Store

if TYPE_CHECKING:
    from nomad_assets.wiring.work import Work

POOL = "seed_examples"


def takes_seeds(work: "Work", step: Step) -> bool:
    """Whether a step reads the seed sources themselves."""
    if work.seeds_from is None:
        return False
    fields = step.config.model_fields
    return "seeds" in fields or ("tokenizer_corpus" in fields and work.grid.profile.base_model.source == TINY)


def with_handed_seeds(profile: Profile, store: Store, seeds_from: str) -> Profile:
    """The profile with the table of the asset `seeds_from` as its only seed source."""
    return _reading(profile, _handed(store, seeds_from))


def as_last_handed(profile: Profile, store: Store) -> Profile:
    """The profile as Dagster ran it last: reading the handed-over table where the newest seed pool was made of one.

    For whoever has no Dagster definitions to ask: `nomad_assets.load`, `nomad-assets status` and `run`.
    """
    try:
        pool = store.current(POOL, Cell())
    except NomadError:  # its manifest cannot be read, which whoever goes on is told
        return profile
    sources = pool.manifest.settings.get("seeds", []) if pool else []
    if len(sources) != 1:
        return profile
    path = Path(sources[0]["path"])
    file = store.handed(path.name)
    return _reading(profile, file) if file.is_file() and path.parent.name == file.parent.name else profile


def _reading(profile: Profile, file: Path) -> Profile:
    # Relative, so that a project that is moved with its store keeps its fingerprints.
    licenses = {source.license for source in profile.seeds.sources}
    source = Source(path=os.path.relpath(file, profile.folder), license=licenses.pop() if len(licenses) == 1 else None)
    return profile.model_copy(update={"seeds": Seeds(sources=[source])})


def _handed(store: Store, seeds_from: str) -> Path:
    return store.handed(f"{re.sub(r'[^A-Za-z0-9._-]', '.', seeds_from)}.jsonl")


def hand_over(work: "Work", table: Any) -> None:
    """Keep the table that the upstream asset yielded where the steps read it; a file of the same rows is left alone.

    A data frame (polars, pandas, or anything that speaks Arrow) or a list of dictionaries.
    Raises NomadError when it is something else or has no rows. Rows are validated by the steps, as those of files are.
    """
    rows = list(_rows(table, work.seeds_from))
    if not rows:
        raise NomadError(f"{work.seeds_from} yielded a table without rows; seeds need at least one")
    text = "".join(f"{json.dumps(row, ensure_ascii=False, default=_plain)}\n" for row in rows)
    target = _handed(work.store, work.seeds_from)
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
