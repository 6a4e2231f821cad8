"""The command line as a user types it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import ENVIRONMENT, app
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.smoke_grid import ROOT, enter_home, opened, write_profile

runner = CliRunner()


def invoke(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, list(arguments), env={"COLUMNS": "300"})
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_home(tmp_path, monkeypatch)


@pytest.fixture
def copied(finished, home: Path) -> LocalStore:
    return finished.copy(home / "lake")


def started(home: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "nomad_assets.cli", *arguments]
    return subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def read_until(process: subprocess.Popen, words: str) -> list[str]:
    lines = []
    for line in process.stderr:
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(f"{words!r} was never said: {lines}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "nowhere"], "profile 'nowhere'"),
        (["-p", "smoke", "--cell", "7/unmasked"], "unknown train size '7'; this profile has 8, 16"),
        (["-p", "smoke", "--cell", "8/maskd"], "unknown arm 'maskd'; this profile has masked, unmasked"),
        (["-p", "smoke", "--until", "teacher"], "--until 'teacher': unknown asset; known: "),
        (["-p", "smoke", "--force-asset", "teacher"], "--force-asset 'teacher': unknown asset; known: "),
    ],
)
def test_wrong_usage_exits_with_2_and_one_clear_message(arguments: list[str], message: str) -> None:
    code, said = invoke("run", *arguments)
    assert code == 2 and message in said and "Traceback" not in said


def test_the_version_and_the_environment_variables_are_said() -> None:
    assert invoke("--version")[0] == 0 and invoke("--version")[1].startswith("nomad-assets 0")
    help_text = invoke("--help")[1]
    page = (ROOT / "docs" / "first-run.md").read_text(encoding="utf-8")
    assert all(name in help_text and f"`{name}`" in page for name in ENVIRONMENT)


def test_what_cannot_be_made_exits_with_1_and_names_asset_and_cause(home: Path) -> None:
    profile = write_profile(home, train_sizes="train_sizes = [8, 5000]")
    code, said = invoke("run", "-p", str(profile), "--until", "seed_subset")
    assert code == 1 and "seed_subset [5000]" in said and "larger than the seed pool" in said
    assert "seed_subset [8]: made for the first time" in said


def test_report_before_any_run_says_what_to_do() -> None:
    code, said = invoke("report", "-p", "smoke")
    assert code == 2 and "recipe_report [-] has not been materialised" in said


def test_a_report_that_is_stale_or_lacks_cells_says_so(finished, copied: LocalStore, home: Path) -> None:
    result = runner.invoke(app, ["report", "-p", str(finished.profile)])
    assert result.exit_code == 0 and result.stderr == "HTML: lake/own/recipe_report/v000001/report.html\n"
    profile = write_profile(home, train_sizes="train_sizes = [8, 16, 32]")
    result = runner.invoke(app, ["report", "-p", str(profile)])
    assert result.exit_code == 0 and result.stdout.startswith("#")
    said = " ".join(result.stderr.split())
    assert "this report is out of date: train_sizes [8, 16] → [8, 16, 32]" in said
    assert "this report misses 2 of 6 cells, which have no scores yet: 32/masked, 32/unmasked" in said


def test_check_says_what_is_stale_or_missing_and_fails_on_it_when_asked(finished, copied: LocalStore) -> None:
    profile = str(finished.profile)
    code, said = invoke("check", "-p", profile, "--asset", "seed_subset", "--complete")
    assert code == 0 and "places" not in said
    shutil.rmtree(copied.require("seed_subset", Cell(8)).path)
    code, said = invoke("check", "-p", profile, "--asset", "seed_subset")
    assert code == 0 and "note: 1 missing of 2 places, first seed_subset [8]; nomad-assets status lists all" in said
    code, said = invoke("check", "-p", profile, "--asset", "seed_subset", "--complete")
    assert code == 1 and "incomplete: 1 missing" in said


def test_check_of_a_damaged_artifact_says_how_to_repair_it(finished, copied: LocalStore) -> None:
    (copied.require("seed_subset", Cell(8)) / "seeds.parquet").unlink()
    code, said = invoke("check", "-p", str(finished.profile), "--asset", "seed_subset")
    assert code == 1 and "seeds.parquet: missing" in said and "nomad-assets run --repair" in said


def test_check_of_an_empty_store_and_of_an_unknown_asset_says_what_to_do() -> None:
    assert invoke("check", "-p", "smoke")[0] == 2
    code, said = invoke("check", "-p", "smoke", "--asset", "teacher")
    assert code == 2 and "--asset 'teacher': unknown asset; known: " in said and "lineage_db" in said


def test_in_a_folder_without_dagsters_settings_a_run_takes_those_that_ship(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dagster.yaml").unlink()
    monkeypatch.delenv("DAGSTER_HOME")
    code, said = invoke("run", "-p", "smoke", "--until", "benchmark_questions")
    assert code == 0, said
    assert (home / "data/dagster/dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()
    assert (home / "data/dagster/storage").is_dir()


def test_a_dagster_home_that_is_not_there_is_not_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home / "nowhere"))
    code, said = invoke("run", "-p", "smoke", "--until", "benchmark_questions")
    assert code == 2 and "no such folder; create it with a dagster.yaml in it" in said
    assert not (home / "nowhere").exists()


def test_a_dry_run_lists_what_would_be_made_and_makes_nothing(finished, copied: LocalStore, home: Path) -> None:
    profile = str(finished.profile)
    assert "nothing would be made: everything is current" in invoke("run", "-p", profile, "--dry-run")[1]
    changed = str(write_profile(home, keep="keep = 3"))
    before = copied.listing()
    code, said = invoke("run", "-p", changed, "--until", "student_model", "--dry-run")
    assert code == 0 and copied.listing() == before
    assert "curated_corpus [8/masked, 8/unmasked, 16/masked, 16/unmasked] curation.keep 8 → 3" in said
    assert "8 steps, about" in said and "by earlier runs;" in said


def test_a_dry_run_of_a_new_grid_measures_this_machine(home: Path) -> None:
    code, said = invoke("run", "-p", str(write_profile(home)), "--dry-run")
    assert code == 0 and "by measuring this machine" in said and not (home / "lake").exists()
    assert "seed_subset [8, 16] nothing is there yet little" in said
    assert "teacher_model [8/masked, 8/unmasked, 16/masked, 16/unmasked] nothing is there yet about" in said


def test_a_run_without_a_terminal_prints_plain_lines(home: Path) -> None:
    """As in CI: no bars, no escape sequences, no bars of the libraries either."""
    profile = write_profile(home)
    process = started(home, "run", "-p", str(profile), "--until", "base_scores")
    out, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    lines = said.splitlines()
    assert lines[0] == "loading the profile and the steps" and "inputs: done in" in said
    assert "base_model [-]: made for the first time" in lines
    assert "\x1b[" not in said and "it/s" not in said and out == ""
    assert (
        invoke("run", "-p", str(profile), "--until", "base_scores", "--force-asset", "base_scores")[1].count("forced")
        == 1
    )
    _, store = opened(profile)
    assert len(store.versions("base_scores", Cell())) == 2 and len(store.versions("base_model", Cell())) == 1


def test_a_run_that_waits_for_another_one_says_for_what(home: Path) -> None:
    profile = write_profile(home)
    _, store = opened(profile)
    with store.staging("benchmark_questions", Cell(), "0" * 64):
        process = started(home, "run", "-p", str(profile), "--until", "benchmark_questions")
        read_until(process, "waiting for benchmark_questions [-], which another process is making")
    assert process.wait(120) == 0, process.stderr.read()


@pytest.mark.parametrize("words", ["loading", "teacher_model [8/masked]: made for the first time"])
def test_ctrl_c_ends_in_one_line_whenever_it_comes(home: Path, words: str) -> None:
    """To the whole process group, as a terminal sends it; with training in processes of its own."""
    profile = write_profile(home)
    text = profile.read_text(encoding="utf-8").replace("[teacher]\n", "[teacher]\nprocesses = 2\n")
    profile.write_text(text, encoding="utf-8")
    process = started(home, "run", "-p", str(profile), "--cell", "8/masked", "--until", "teacher_model")
    read_until(process, words)
    if words != "loading":
        time.sleep(8)  # into the imports of the processes that train
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.splitlines()[-1] == "stopped; run again to go on"
    assert "Traceback" not in said and "Error" not in said and "Interrupt" not in said, said


def test_status_of_a_finished_grid_is_json_when_asked(finished, copied: LocalStore) -> None:
    result = runner.invoke(app, ["status", "--json", "-p", str(finished.profile)])
    assert result.exit_code == 0 and len(json.loads(result.stdout)["places"]) == 35
