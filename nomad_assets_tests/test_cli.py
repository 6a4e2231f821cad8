"""The command line as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cli import app
from nomad_assets_tests.test_graph import ROOT, write_profile

runner = CliRunner()


def invoke(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, list(arguments))
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "nowhere"], "profile 'nowhere'"),
        (["-p", "smoke", "--cell", "7/unmasked"], "unknown train size '7'; this profile has 8, 16"),
        (["-p", "smoke", "--cell", "8/maskd"], "unknown arm 'maskd'; this profile has masked, unmasked"),
        (["-p", "smoke", "--until", "teacher"], "unknown asset; known: seed_examples"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_clear_message(arguments: list[str], message: str) -> None:
    code, said = invoke("run", *arguments)
    assert code == 2 and message in said and "Traceback" not in said


def test_a_failed_step_exits_with_1_and_names_asset_and_cause(home: Path) -> None:
    profile = write_profile(home, train_sizes="train_sizes = [8, 5000]")
    code, said = invoke("run", "-p", str(profile), "--until", "seed_subset")
    assert code == 1 and "seed_subset [5000]" in said and "larger than the seed pool" in said


def test_report_before_any_run_says_what_to_do() -> None:
    code, said = invoke("report", "-p", "smoke")
    assert code == 2 and "recipe_report [-] has not been materialised" in said


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
    code, said = invoke("run", "-p", "smoke")
    assert code == 2 and "no such folder; create it with a dagster.yaml in it" in said
    assert not (home / "nowhere").exists()


def test_a_run_without_a_terminal_prints_plain_lines(home: Path) -> None:
    """As in CI: no bars, no escape sequences, no bars of the libraries either."""
    profile = write_profile(home)
    done = subprocess.run(
        [sys.executable, "-m", "nomad_assets.cli", "run", "-p", str(profile), "--until", "base_scores"],
        cwd=home, capture_output=True, text=True, timeout=300, env=os.environ.copy(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "inputs: done in" in done.stderr
    assert "\x1b[" not in done.stderr and "it/s" not in done.stderr and done.stdout == ""
