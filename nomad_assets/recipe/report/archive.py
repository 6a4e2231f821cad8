"""What a report is made from, as files: small enough to commit, and enough to write the page again and check every number."""

import json
import shutil
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path

import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.recipe.evaluation.looks import Taken
from nomad_assets.recipe.evaluation.sequential import Look
from nomad_assets.recipe.report.report_data import ReportData

FACTS, RESULTS = "facts.json", "RESULTS.md"
TABLES = tuple(field.name for field in fields(ReportData) if field.type is pl.DataFrame)
TEXTS = {
    "rows": ("prompt", "response", "nearest_seed_prompt", "nearest_seed_response", "sign_of_error"),
    "seeds": ("prompt",),
}
"""Columns that hold what a model wrote or a seed example says."""


def write_data(data: ReportData, folder: Path) -> None:
    """One Parquet file a table and `facts.json` for the rest, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        getattr(data, name).write_parquet(folder / f"{name}.parquet", compression_level=19)
    facts = {field.name: getattr(data, field.name) for field in fields(ReportData) if field.name not in TABLES}
    facts["looks"] = [{**taken._asdict(), "look": asdict(taken.look)} for taken in data.looks]
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_data(folder: Path) -> ReportData:
    """What `write_data` wrote. Raises NomadError that names the file which is missing or cannot be read."""
    try:
        facts = json.loads((place := folder / FACTS).read_text(encoding="utf-8"))
        facts["looks"] = [Taken(**{**taken, "look": Look(**taken["look"])}) for taken in facts["looks"]]
        tables = {name: pl.read_parquet(place := folder / f"{name}.parquet") for name in TABLES}
        return ReportData(**facts, **tables)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise NomadError(f"{place}: cannot be read as the data of a report: {error}") from None


def without_texts(data: ReportData) -> ReportData:
    """The same with no word of a seed example or a synthetic row: for examples that may not be handed on."""
    blanked = {
        name: getattr(data, name).with_columns(pl.lit(None, pl.String).alias(column) for column in columns)
        for name, columns in TEXTS.items()
    }
    return replace(data, **blanked)


def write_results(data: ReportData, folder: Path) -> Path:
    """The page as `RESULTS.md`, its `plots/` and its `data/`, in place of those of an earlier call; other files stay."""
    from nomad_assets.recipe.report.report import results_page  # draws, which takes a second to import

    text, pictures = results_page(data)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        write_data(data, Path(made) / "data")
        for path, svg in pictures.items():
            (Path(made) / path).parent.mkdir(exist_ok=True)
            (Path(made) / path).write_text(svg, encoding="utf-8")
        (Path(made) / RESULTS).write_text(text, encoding="utf-8")
        for name in ("data", "plots"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for entry in Path(made).iterdir():
            entry.rename(folder / entry.name)
    return folder / RESULTS
