"""A report's data as files, and the page that is written again from them."""

from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.evaluation.looks import Taken
from nomad_assets.recipe.evaluation.sequential import looks
from nomad_assets.recipe.report.archive import TABLES, read_data, without_texts, write_data, write_results
from nomad_assets.recipe.report.report import results_page
from nomad_assets.recipe.report.report_data import ReportData
from nomad_assets_tests.recipe.report.planted_data import make_data


@pytest.fixture(scope="module")
def data() -> ReportData:
    taken = Taken(looks(5, 12)[0], 16, "unmasked", None, 0.1, 0.0004, "stop: higher")
    return replace(make_data(replicates=5), looks=[taken])


def test_what_is_written_is_read_back(data: ReportData, tmp_path: Path):
    write_data(data, tmp_path / "data")
    found = read_data(tmp_path / "data")
    assert {field.name for field in fields(ReportData) if isinstance(getattr(data, field.name), pl.DataFrame)} == set(
        TABLES
    )
    for field in fields(ReportData):
        before, after = getattr(data, field.name), getattr(found, field.name)
        assert before.equals(after) and before.schema == after.schema if field.name in TABLES else before == after


def test_the_page_is_written_again_from_its_data(data: ReportData, tmp_path: Path):
    path = write_results(data, tmp_path)
    (tmp_path / "plots" / "99.svg").write_text("of an earlier page")
    (tmp_path / "PLAN.md").write_text("ours")
    text, pictures = results_page(read_data(tmp_path / "data"))
    assert path.read_text(encoding="utf-8") == text and len(pictures) > 4
    assert all((tmp_path / name).read_text(encoding="utf-8") == svg for name, svg in pictures.items())
    assert all(f"]({name})" in text for name in pictures)
    write_results(data, tmp_path)
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {Path(name).name for name in pictures}
    assert {p.name for p in tmp_path.iterdir()} == {"PLAN.md", "RESULTS.md", "data", "plots"}


def test_texts_are_left_out(data: ReportData, tmp_path: Path):
    path = write_results(without_texts(data), tmp_path)
    assert "The texts of rows are left out here." in path.read_text(encoding="utf-8")
    said = [*data.rows["prompt"].drop_nulls(), *data.rows["nearest_seed_prompt"].drop_nulls(), *data.seeds["prompt"]]
    written = "".join(
        p.read_text(encoding="utf-8") for p in tmp_path.rglob("*") if p.suffix in (".md", ".svg", ".json")
    )
    kept = read_data(tmp_path / "data")
    written += str([kept.rows.to_dicts(), kept.seeds.to_dicts()])
    assert said and not any(text in written for text in said)


@pytest.mark.parametrize("name", ["facts.json", "results.parquet"])
def test_a_file_that_is_missing_or_damaged_is_named(data: ReportData, tmp_path: Path, name: str):
    write_data(data, tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(NomadError, match=f"{name}: cannot be read as the data of a report"):
        read_data(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NomadError, match=name):
        read_data(tmp_path)
