"""Checks over a whole store and a damaged one, through Dagster, and from the command line as CI runs them."""

import json
import shutil

import dagster as dg
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.definitions import work_of
from nomad_assets.engine.checks import check_place, checks_of
from nomad_assets.wiring.checks import check_everything
from nomad_assets.wiring.jobs import LINEAGE
from nomad_assets.wiring.lineage import LINEAGE_CHECKS, check_lineage
from nomad_assets.wiring.partitions import partition_key
from nomad_assets.wiring.work import Work
from nomad_assets_tests.damaged import CELL, Damaged
from nomad_assets_tests.smoke_grid import ROOT
from nomad_assets_tests.wiring.dagster_runs import OWN, Jobs

CONTRACT, FILES = "stored_tables_keep_their_contract", "stored_files_match_their_manifest"


@pytest.fixture
def work(damaged: Damaged) -> Work:
    return work_of(damaged.grid.profile, store=damaged.store)


def test_all_of_a_whole_store_is_checked_and_no_error_is_found(finished) -> None:
    results = list(check_everything(work_of(finished.grid.profile, store=finished.store)))
    places = {(result.check.name, result.asset, result.cell) for result in results}
    expected = {(check.name, step.name, cell) for step, cell in finished.grid.all_places() for check in checks_of(step)}
    expected |= {(check.name, LINEAGE, Cell()) for check in LINEAGE_CHECKS}
    assert places == expected and len(results) == len(expected)
    assert [(r.place, r.check.name, r.finding.text) for r in results if r.is_error] == []
    assert {r.check.name for r in results if r.severity == "WARN"} == {
        "teacher_ends_its_prompts", "few_rows_copy_seeds", "corpus_is_filled_to_its_target",
        "student_is_not_worse_than_the_base_model",
    }  # fmt: skip


def test_a_broken_contract(damaged: Damaged) -> None:
    damaged.change("curated_corpus", CELL, "curated.parquet", pl.lit(7.0).alias("novelty"))
    damaged.assert_fails("curated_corpus", CELL, CONTRACT, "breaks its contract CuratedCorpus")
    (damaged.store.require("corpus_profile", CELL) / "metrics.parquet").write_bytes(b"PAR1 no")
    damaged.assert_fails("corpus_profile", CELL, CONTRACT, "not readable", rows=1)
    (damaged.store.require("base_scores", Cell()) / "scores.parquet").unlink()
    damaged.assert_fails("base_scores", Cell(), CONTRACT, "missing", rows=1)
    assert damaged.finding("curated_corpus", Cell(8, "masked"), CONTRACT).passed


def test_a_changed_a_missing_an_added_and_a_pickled_file(damaged: Damaged) -> None:
    folder = damaged.store.require("teacher_model", CELL).path
    weights = folder / "model/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    damaged.assert_fails("teacher_model", CELL, FILES, "model/model.safetensors: its content has changed", rows=1)
    (folder / "curve.parquet").unlink()
    (folder / "model/pytorch_model.bin").write_bytes(b"")
    found = damaged.finding("teacher_model", CELL, FILES)
    assert {(row["file"], row["problem"]) for row in found.rows} == {
        ("curve.parquet", "missing"),
        ("model/pytorch_model.bin", "not in the manifest"),
        ("model/pytorch_model.bin", "a pickle"),
        ("model/model.safetensors", "its content has changed since it was published"),
    }


def test_a_parent_that_nobody_knows(damaged: Damaged) -> None:
    assert [result.finding.passed for result in check_lineage(damaged.store)] == [True]
    shutil.rmtree(damaged.store.require("teacher_model", CELL).path)
    (result,) = check_lineage(damaged.store)
    assert result.is_error and len(result.finding.rows) > 0 and "which is not here" in result.finding.text


def test_what_cannot_be_checked_has_not_passed(damaged: Damaged) -> None:
    """A check that raises is an error, also where its own severity is a warning; so is a manifest that cannot be read."""
    (damaged.store.require("synthetic_corpus", CELL) / "corpus.parquet").unlink()
    result = damaged.result("synthetic_corpus", CELL, "teacher_ends_its_prompts")
    assert result.is_error and "could not be checked: FileNotFoundError" in result.finding.text
    (damaged.store.require("corpus_profile", CELL).path / "manifest.json").write_text("{}")
    results = check_place(damaged.grid, damaged.store, damaged.grid.graph["corpus_profile"], CELL)
    assert len(results) == 2 and all(r.is_error and "not a readable manifest" in r.finding.text for r in results)


# Through Dagster.


def test_a_run_records_the_checks_of_its_cell_and_they_run_alone(
    damaged: Damaged, work: Work, instance: dg.DagsterInstance
) -> None:
    damaged.change("curated_corpus", CELL, "curated.parquet", pl.lit(7.0).alias("novelty"))
    result = Jobs(work, instance).launch("grid", key=partition_key(CELL))
    assert result.success, "every artifact is current and reused; checks do not block"
    found = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    _, _, of_a_cell, *_ = damaged.grid.graph.stages()
    assert len(found) == sum(len(checks_of(step)) for step in of_a_cell) == 21
    broken = found["own/curated_corpus", CONTRACT]
    assert not broken.passed and broken.severity == dg.AssetCheckSeverity.ERROR and broken.partition == "unmasked|16"
    records = broken.metadata["failing_rows"].records
    rows = damaged.store.require("curated_corpus", CELL).manifest.rows
    assert len(records) == min(rows, 20) > 8 and records[0].data["table"] == "curated.parquet"
    assert found["own/teacher_model", "teacher_loss_fell"].passed
    assert found["own/teacher_model", "teacher_loss_fell"].metadata["loss_last_quarter"].value > 0


def test_checks_of_what_is_not_stored_do_not_pass(work: Work, damaged: Damaged, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(damaged.store.root / "base_scores")
    jobs = Jobs(work, instance)
    chosen = [dg.AssetCheckKey(OWN.key("base_scores"), FILES)]
    job = dg.define_asset_job("alone", selection=dg.AssetSelection.checks(*chosen))
    job = dg.Definitions.merge(jobs.definitions, dg.Definitions(jobs=[job])).resolve_job_def("alone")
    result = job.execute_in_process(instance=instance)
    (found,) = result.get_asset_check_evaluations()
    assert not found.passed and found.description == "nothing is stored here; materialise it first"


def test_the_checks_job_covers_every_partition_and_fails_on_errors(
    damaged: Damaged, work: Work, instance: dg.DagsterInstance
) -> None:
    jobs = Jobs(work, instance)
    assert jobs.launch("checks").success
    keys = [dg.AssetCheckKey(OWN.key("teacher_model"), "teacher_loss_fell")]
    (latest,) = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).values()
    assert latest.status.value == "SUCCEEDED"
    damaged.change("teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
    said = jobs.failure("checks")
    assert "teacher_model [16/unmasked] teacher_loss_fell: from " in said
    assert "teacher_model [16/unmasked] stored_files_match_their_manifest: curve.parquet: its content" in said


# From the command line, as CI runs it.


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture
def shown_by_cli(damaged: Damaged, finished, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NOMAD_HOME", str(damaged.store.root.parent))
    return str(finished.profile)


def test_check_exits_with_0_on_warnings_and_1_on_errors(damaged: Damaged, shown_by_cli: str) -> None:
    code, out, err = run("check", "-p", shown_by_cli, "--json")
    assert code == 0 and f"{len(json.loads(out))} checks: 0 errors" in err
    damaged.change("teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
    code, _, err = run("check", "-p", shown_by_cli, "--asset", "teacher_model", "--cell", "16/unmasked")
    assert code == 1 and "ERROR teacher_model [16/unmasked] teacher_loss_fell" in err and "4 checks: 2 errors" in err
    assert run("check", "-p", shown_by_cli, "--asset", "teacher_model", "--cell", "8/unmasked")[0] == 0


def test_check_names_what_it_does_not_know(finished, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    code, _, err = run("check", "-p", str(finished.profile), "--asset", "teachers")
    assert code == 2 and "unknown asset; known: " in err and "seed_examples" in err
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "empty"))
    code, _, err = run("check", "-p", str(finished.profile))
    assert code == 2 and "nothing of this is stored in" in err


def test_the_workflow_runs_the_commands_that_exist() -> None:
    """A user's CI: the file is what the README says, and every command of ours in it is one of ours."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    lines = [line for text in steps for line in text.splitlines() if "nomad-assets " in line]
    ours = [line.split("nomad-assets ", 1)[1].split() for line in lines]
    assert [command[0] for command in ours] == ["run", "check"]
    for command in ours:
        assert CliRunner().invoke(app, [command[0], "--help"]).exit_code == 0
        assert command[1:] == ["--profile", "smoke"]
