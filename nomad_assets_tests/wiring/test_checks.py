"""Each check on a whole store, and on one that breaks just what it asserts; through Dagster and from the command line."""

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.check_runs import check_place, check_places
from nomad_assets.checks import CHECKS, LINEAGE
from nomad_assets.cli import app
from nomad_assets.definitions import build_definitions
from nomad_assets.steps import STEPS
from nomad_assets.storage import Store
from nomad_assets_tests.test_graph import ROOT

CELL = Cell(16, "unmasked")


@pytest.fixture
def project(finished, tmp_path: Path) -> Project:
    """The finished smoke run, in a copy that may be broken."""
    profile, store, *_ = finished
    shutil.copytree(store.root, tmp_path / "lake" / profile.name)
    return Project(profile, store=Store(tmp_path / "lake" / profile.name))


def finding(project: Project, asset: str, cell: Cell, name: str):
    (result,) = check_place(project, asset, cell, {name})
    return result


def change(project: Project, asset: str, cell: Cell, table: str, *columns: pl.Expr, **filters) -> None:
    path = project.store.require(asset, cell) / table
    pl.read_parquet(path).with_columns(*columns).filter(**filters).write_parquet(path)


def test_all_of_a_whole_store_is_checked_and_no_error_is_found(project: Project) -> None:
    results = list(check_places(project, [*STEPS, LINEAGE]))
    places = {(result.check.name, result.asset, result.cell) for result in results}
    expected = {
        (check.name, asset, cell)
        for check in CHECKS
        for asset in check.assets
        for cell in ([Cell()] if asset == LINEAGE else project.grid.members(STEPS[asset].partitions))
    }
    assert places == expected and len(results) == len(expected)
    assert [(r.place, r.check.name, r.finding.text) for r in results if r.is_error] == []
    assert {r.check.name for r in results if r.severity == "WARN"} == {
        "teacher_ends_its_prompts", "few_rows_copy_seeds", "corpus_is_filled_to_its_target",
        "student_is_not_worse_than_the_base_model",
    }  # fmt: skip


# Each check fails where what it asserts is broken, names the offending rows, and passes beside it.


def fails(project: Project, asset: str, cell: Cell, name: str, text: str, rows: int | None = None) -> None:
    result = finding(project, asset, cell, name)
    assert not result.finding.passed and text in result.finding.text, result.finding
    if rows is not None:
        assert len(result.finding.rows) == rows, result.finding.rows


def test_a_broken_contract(project: Project) -> None:
    change(project, "curated_corpus", CELL, "curated.parquet", pl.lit(7.0).alias("novelty"))
    fails(project, "curated_corpus", CELL, "stored_tables_keep_their_contract", "breaks its contract CuratedCorpus")
    (project.store.require("corpus_profile", CELL) / "metrics.parquet").write_bytes(b"PAR1 no")
    fails(project, "corpus_profile", CELL, "stored_tables_keep_their_contract", "not readable", rows=1)
    (project.store.require("base_scores", Cell()) / "scores.parquet").unlink()
    fails(project, "base_scores", Cell(), "stored_tables_keep_their_contract", "missing", rows=1)
    assert finding(project, "curated_corpus", Cell(8, "masked"), "stored_tables_keep_their_contract").finding.passed


def test_a_changed_a_missing_an_added_and_a_pickled_file(project: Project) -> None:
    folder = project.store.require("teacher_model", CELL).path
    weights = folder / "model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    name = "stored_files_match_their_manifest"
    fails(project, "teacher_model", CELL, name, "model/model.safetensors: its content has changed", rows=1)
    (folder / "curve.parquet").unlink()
    (folder / "model/pytorch_model.bin").write_bytes(b"")
    result = finding(project, "teacher_model", CELL, name)
    assert {(row["file"], row["problem"]) for row in result.finding.rows} == {
        ("curve.parquet", "missing"),
        ("model/pytorch_model.bin", "not in the manifest"),
        ("model/pytorch_model.bin", "a pickle"),
        ("model/model.safetensors", "its content has changed since it was published"),
    }


def test_a_subset_of_the_wrong_size_or_that_does_not_nest(project: Project) -> None:
    name = "subset_has_its_size_and_nests"
    assert finding(project, "seed_subset", Cell(16), name).finding.passed
    path = project.store.require("seed_subset", Cell(8)) / "seeds.parquet"
    table = pl.read_parquet(path)
    table.reverse().write_parquet(path)
    fails(project, "seed_subset", Cell(8), name, "not the head of seed_examples/", rows=1)
    fails(project, "seed_subset", Cell(16), name, "seed_subset [8] is not its head", rows=1)
    table.head(7).write_parquet(path)
    fails(project, "seed_subset", Cell(8), name, "7 rows instead of 8", rows=1)


@pytest.mark.parametrize("asset", ["teacher_model", "student_model"])
def test_a_row_without_loss(project: Project, asset: str) -> None:
    first = pl.int_range(pl.len()) == 0
    change(
        project,
        asset,
        CELL,
        "rows.parquet",
        pl.when(first).then(0).otherwise("supervised_tokens").alias("supervised_tokens"),
    )
    fails(project, asset, CELL, "every_row_has_a_supervised_token", "1 of ", rows=1)
    change(project, asset, CELL, "rows.parquet", pl.lit(False).alias("used"))
    assert not finding(project, asset, CELL, "every_row_has_a_supervised_token").finding.passed, "no row was used"


def test_a_loss_that_did_not_fall(project: Project) -> None:
    assert finding(project, "teacher_model", CELL, "teacher_loss_fell").finding.passed
    change(project, "teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
    fails(project, "teacher_model", CELL, "teacher_loss_fell", "from ")
    path = project.store.require("teacher_model", CELL) / "curve.parquet"
    pl.read_parquet(path).head(3).write_parquet(path)
    few = finding(project, "teacher_model", CELL, "teacher_loss_fell").finding
    assert few.passed and few.text == "3 optimizer steps are too few to tell"


def test_a_teacher_that_does_not_end_its_prompts(project: Project) -> None:
    change(project, "synthetic_corpus", CELL, "corpus.parquet", pl.lit("length").alias("prompt_end"))
    fails(project, "synthetic_corpus", CELL, "teacher_ends_its_prompts", "0.0% of ")


def test_a_benchmark_question_in_the_kept_rows(project: Project) -> None:
    name = "no_kept_row_holds_a_benchmark_question"
    assert finding(project, "curated_corpus", CELL, name).finding.passed
    questions = pl.read_parquet(
        project.store.require("benchmark_questions", Cell()) / "questions/word_problems.parquet"
    )
    question = questions.row(0, named=True)
    path = project.store.require("curated_corpus", CELL) / "curated.parquet"
    table = pl.read_parquet(path)
    row = table.filter(verdict="kept")["id"][0]
    asked = pl.when(pl.col("id") == row).then(pl.lit(question["question"])).otherwise("prompt").alias("prompt")
    table.with_columns(asked).write_parquet(path)
    fails(project, "curated_corpus", CELL, name, "1 of ", rows=1)
    (pair,) = finding(project, "curated_corpus", CELL, name).finding.rows
    assert (pair["id"], pair["prompt"], pair["question_id"]) == (row, question["question"], question["id"])
    table.with_columns(asked, pl.lit("dropped").alias("verdict")).write_parquet(path)
    assert finding(project, "curated_corpus", CELL, name).finding.passed, "what was dropped is in no student"


def test_too_many_copies_of_seeds(project: Project) -> None:
    change(project, "curated_corpus", CELL, "curated.parquet", pl.lit("near_seed_copy").alias("reason"))
    fails(project, "curated_corpus", CELL, "few_rows_copy_seeds", "100.0% of ")


def test_copies_of_one_seed_row_are_copies_whatever_they_were_dropped_for(project: Project) -> None:
    """Curation calls the second of them a repeat of the first, and judges answers before that."""
    seed = pl.read_parquet(project.store.require("seed_subset", Cell(16)) / "seeds.parquet")["prompt"][0]
    path = project.store.require("curated_corpus", CELL) / "curated.parquet"
    table = pl.read_parquet(path).filter(response_end="completed").with_columns(reason=pl.lit("kept"))
    number = pl.int_range(pl.len())
    first = table["id"][0]
    copied = table.with_columns(
        reason=pl.when(number == 0).then(pl.lit("near_seed_copy")).when(number < 3).then(pl.lit("near_repeat"))
        .when(number == 3).then(pl.lit("wrong_arithmetic")).otherwise("reason"),
        evidence=pl.when((number > 0) & (number < 3)).then(pl.lit(first)).otherwise("evidence"),
        prompt=pl.when(number == 3).then(pl.lit(seed.upper())).otherwise(pl.lit("unlike any seed row")),
    )  # fmt: skip
    copied.write_parquet(path)
    fails(project, "curated_corpus", CELL, "few_rows_copy_seeds", f"{4 / table.height:.1%} of {table.height}", rows=4)


def test_a_corpus_below_its_target(project: Project) -> None:
    change(project, "curated_corpus", CELL, "curated.parquet", verdict="dropped")
    fails(project, "curated_corpus", CELL, "corpus_is_filled_to_its_target", "0 of 8 rows were kept")


def test_questions_missing_twice_unknown_and_out_of_range(project: Project) -> None:
    name, scores = "every_question_is_scored_once", project.store.require("student_scores", CELL)
    assert finding(project, "student_scores", CELL, name).finding.passed
    results = pl.read_parquet(scores / "results.parquet")
    question = results["question_id"][0]

    def problems(table: pl.DataFrame) -> set[str]:
        table.write_parquet(scores / "results.parquet")
        return {row["problem"] for row in finding(project, "student_scores", CELL, name).finding.rows}

    assert problems(results.filter(pl.col("question_id") != question)) == {"not scored"}
    assert problems(pl.concat([results, results.head(1)])) == {"answered 2 times"}
    renamed = (
        pl.when(pl.col("question_id") == question).then(pl.lit("other")).otherwise("question_id").alias("question_id")
    )
    assert problems(results.with_columns(renamed)) == {"not scored", "not a question of the benchmark"}
    exact = pl.col("metric") == "exact_match"
    assert problems(results.with_columns(pl.when(exact).then(1.5).otherwise("value").alias("value"))) == {
        "outside [0, 1]"
    }
    results.write_parquet(scores / "results.parquet")
    change(project, "student_scores", CELL, "responses.parquet", question_id=question)
    fails(project, "student_scores", CELL, name, "not answered", rows=23)


def test_a_student_below_the_base_model(project: Project) -> None:
    change(
        project,
        "base_scores",
        Cell(),
        "results.parquet",
        pl.when(metric="exact_match").then(1.0).otherwise("value").alias("value"),
    )
    change(
        project,
        "student_scores",
        CELL,
        "results.parquet",
        pl.when(metric="exact_match").then(0.0).otherwise("value").alias("value"),
    )
    name = "student_is_not_worse_than_the_base_model"
    fails(project, "student_scores", CELL, name, "-100.0 points against the base model (95% interval -100.0 to -100.0)")
    for asset, cell in (("base_scores", Cell()), ("student_scores", CELL)):
        task = pl.when(metric="exact_match").then(pl.lit("exact_match_strict-match")).otherwise("metric")
        change(project, asset, cell, "results.parquet", task.alias("metric"))
    fails(project, "student_scores", CELL, name, "-100.0 points against")  # as gsm8k of lm-evaluation-harness
    shutil.rmtree(project.store.root / "base_scores")
    assert "nothing to compare with" in finding(project, "student_scores", CELL, name).finding.text


def test_a_parent_that_nobody_knows(project: Project) -> None:
    assert finding(project, LINEAGE, Cell(), "every_parent_is_known").finding.passed
    shutil.rmtree(project.store.require("teacher_model", CELL).path)
    fails(project, LINEAGE, Cell(), "every_parent_is_known", "which is not here", rows=1)


def test_what_cannot_be_checked_has_not_passed(project: Project) -> None:
    """A check that raises is an error, also where its own severity is a warning; so is a manifest that cannot be read."""
    (project.store.require("synthetic_corpus", CELL) / "corpus.parquet").unlink()
    result = finding(project, "synthetic_corpus", CELL, "teacher_ends_its_prompts")
    assert result.is_error and "could not be checked: FileNotFoundError" in result.finding.text
    (project.store.require("corpus_profile", CELL).path / "manifest.json").write_text("{}")
    results = check_place(project, "corpus_profile", CELL)
    assert len(results) == 2 and all(r.is_error and "not a readable manifest" in r.finding.text for r in results)


# Through Dagster.


def test_a_run_records_the_checks_of_its_cell_and_they_run_alone(project: Project) -> None:
    change(project, "curated_corpus", CELL, "curated.parquet", pl.lit(7.0).alias("novelty"))
    job = build_definitions(project).resolve_job_def("grid")
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance, partition_key=CELL.partition_key, raise_on_error=False)
        assert result.success, "every artifact is current and reused; checks do not block"
        found = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    assert len(found) == 21
    broken = found["curated_corpus", "stored_tables_keep_their_contract"]
    assert not broken.passed and broken.severity == dg.AssetCheckSeverity.ERROR and broken.partition == "unmasked|16"
    records = broken.metadata["failing_rows"].records
    rows = project.store.require("curated_corpus", CELL).manifest.rows
    assert len(records) == min(rows, 20) > 8 and records[0].data["table"] == "curated.parquet"
    assert found["teacher_model", "teacher_loss_fell"].passed
    assert found["teacher_model", "teacher_loss_fell"].metadata["loss_last_quarter"].value > 0


def test_the_checks_job_covers_every_partition_and_fails_on_errors(project: Project) -> None:
    job = build_definitions(project).resolve_job_def("checks")
    with dg.instance_for_test() as instance:
        assert job.execute_in_process(instance=instance).success
        keys = [dg.AssetCheckKey(dg.AssetKey("teacher_model"), "teacher_loss_fell")]
        (latest,) = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).values()
        assert latest.status.value == "SUCCEEDED"
        change(project, "teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "teacher_model [16/unmasked] teacher_loss_fell: from " in description
    assert "teacher_model [16/unmasked] stored_files_match_their_manifest: curve.parquet: its content" in description


# From the command line, as CI runs it.


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture
def shown_by_cli(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NOMAD_HOME", str(project.store.root.parent))
    return str(project.profile.folder / "own.toml")


def test_check_exits_with_0_on_warnings_and_1_on_errors(project: Project, shown_by_cli: str) -> None:
    code, out, err = run("check", "-p", shown_by_cli, "--json")
    assert code == 0 and f"{len(json.loads(out))} checks: 0 errors" in err
    change(project, "teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
    code, _, err = run("check", "-p", shown_by_cli, "--asset", "teacher_model", "--cell", "16/unmasked")
    assert code == 1 and "ERROR teacher_model [16/unmasked] teacher_loss_fell" in err and "4 checks: 2 errors" in err
    assert run("check", "-p", shown_by_cli, "--asset", "teacher_model", "--cell", "8/unmasked")[0] == 0


def test_check_names_what_it_does_not_know(shown_by_cli: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, _, err = run("check", "-p", shown_by_cli, "--asset", "teachers")
    assert code == 2 and "unknown asset; known: seed_examples" in err
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "empty"))
    code, _, err = run("check", "-p", shown_by_cli)
    assert code == 2 and "nothing of this is stored in" in err


def test_the_workflow_runs_the_commands_that_exist() -> None:
    """A user's CI: the file is what the README says, and every command of ours in it is one of ours."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    ours = [
        line.split("nomad-assets ", 1)[1].split()
        for text in steps
        for line in text.splitlines()
        if "nomad-assets " in line
    ]
    assert [command[0] for command in ours] == ["run", "check"]
    for command in ours:
        assert CliRunner().invoke(app, [command[0], "--help"]).exit_code == 0
        assert command[1:] == ["--profile", "smoke"]
