"""`nomad-assets headroom` and its Dagster job: through the same runner as `nomad-assets run`, and only where it is asked for."""

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.store.local import LocalStore
from nomad_assets.wiring.orders import Order, jobs_for
from nomad_assets_tests.smoke_grid import enter_home, write_profile

ASKED = {"headroom_scores", "headroom_report"}
SMALL = {
    "replicates": "replicates = 1",
    "sizes": "sizes = [4, 8]\nquestions = 2",
    "steps": "steps = 1",
    "wrong": "wrong = []",
}
cli = CliRunner()


@pytest.fixture
def profile(finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile of a finished grid, in a home of its own."""
    enter_home(tmp_path, monkeypatch)
    finished.copy(tmp_path / "lake")
    return write_profile(tmp_path, **SMALL)


def test_the_command_makes_it_prints_it_and_says_where_its_html_lies(profile: Path) -> None:
    first = cli.invoke(app, ["headroom", "-p", str(profile)])
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("# Can synthetic data help here?") and "**Cannot tell: one replicate" in first.stdout
    assert "2 models to train (1 replicate), each asked at most 2 dev questions of trivia, word_problems" in " ".join(
        first.stderr.split()
    )
    assert first.stderr.endswith("HTML: lake/own/headroom_report/v000001/headroom.html\n")
    again = cli.invoke(app, ["headroom", "-p", str(profile)])
    assert again.exit_code == 0 and again.stdout == first.stdout
    assert "headroom: nothing changed" in again.stderr
    assert LocalStore(profile.parent / "lake" / "own").require("headroom_scores", Cell()).manifest.version == 1

    # It is out of date with another margin, which is said, and which makes no grid incomplete.
    write_profile(profile.parent, **SMALL, answers="answers = 2\nmargin = 0.1")
    status = cli.invoke(app, ["status", "-p", str(profile)], env={"COLUMNS": "300"})
    assert "out of date headroom_report: margin 0.05 → 0.1" in status.stdout and "headroom_scores" not in status.stdout
    assert cli.invoke(app, ["check", "-p", str(profile), "--complete"]).exit_code == 0


def test_what_nobody_asked_for_is_missing_nowhere(profile: Path) -> None:
    status = cli.invoke(app, ["status", "-p", str(profile), "--all"])
    assert status.exit_code == 0 and "headroom" not in status.stdout
    run = cli.invoke(app, ["run", "-p", str(profile), "--dry-run"])
    assert "nothing would be made" in run.stdout


def test_a_dry_run_says_how_long_it_takes_and_makes_nothing(profile: Path) -> None:
    found = cli.invoke(app, ["headroom", "-p", str(profile), "--dry-run"], env={"COLUMNS": "300"})
    assert found.exit_code == 0, found.stderr
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("headroom_scores")]
    assert "nothing is there yet" in line and "about" in line
    assert LocalStore(profile.parent / "lake" / "own").current("headroom_scores", Cell()) is None


def test_without_dev_questions_it_says_so_before_anything_is_made(profile: Path) -> None:
    text = profile.read_text(encoding="utf-8").replace("max_new_tokens = 8\n", "max_new_tokens = 8\ndev = 0\n")
    profile.write_text(text.replace('rule = "gsm8k"', 'rule = "gsm8k"\ndev = 0'), encoding="utf-8")
    found = cli.invoke(app, ["headroom", "-p", str(profile)], env={"COLUMNS": "300"})
    assert found.exit_code == 2 and "headroom is measured on dev questions, and no benchmark has any" in found.stderr


def test_an_order_without_a_name_comes_to_none_of_it() -> None:
    grid = Grid(load_profile("smoke"))
    assert not ASKED & {step.name for job in jobs_for(grid, Order()) for step in job.steps}
    asked = [(job.label, [step.name for step in job.steps]) for job in jobs_for(grid, Order(until="headroom_report"))]
    inputs = ["base_model", "benchmark_questions", "seed_examples"]
    assert [(label, sorted(names)) for label, names in asked] == [("inputs", inputs), ("headroom", sorted(ASKED))]
    with pytest.raises(NomadError, match="--force-asset headroom_scores: give --until headroom_scores to ask for it"):
        jobs_for(grid, Order(force_assets=["headroom_scores"]))


def test_dagster_has_a_job_for_it_and_no_automation() -> None:
    found = build_definitions("smoke")
    graph = found.resolve_asset_graph()
    for name in ASKED:
        node = graph.get(dg.AssetKey(["smoke", name]))
        assert node.automation_condition is None and node.group_name == "smoke_headroom"
    job = found.resolve_job_def("smoke_headroom")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == ASKED
    others = [job for job in found.resolve_all_job_defs() if job.name in ("smoke_inputs", "smoke_report", "smoke_grid")]
    for other in others:
        assert not ASKED & {key.path[-1] for key in other.asset_layer.executable_asset_keys}
