"""Who hears of a run in Dagster: OpenLineage where the profile names it; and nobody writes a secret of the environment."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.definitions import work_of
from nomad_assets.errors import NomadError
from nomad_assets.status import status
from nomad_assets.wiring.checks import check_everything
from nomad_assets_tests.smoke_grid import SMOKE, opened, run, write_profile
from nomad_assets_tests.wiring.dagster_runs import Jobs

SECRETS = {
    "HF_TOKEN": "hf_topsecret0001", "OPENLINEAGE_API_KEY": "ol_topsecret0002", "AWS_SECRET_ACCESS_KEY": "aws_topsecret0003",
}  # fmt: skip


def told(folder: Path, instance: dg.DagsterInstance, **changes: str) -> Jobs:
    path = write_profile(folder, **changes)
    path.write_text(f'openlineage = "events.jsonl"\n{path.read_text(encoding="utf-8")}', encoding="utf-8")
    return Jobs(work_of(path), instance)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def events(jobs: Jobs) -> list[tuple[str, str]]:
    lines = (jobs.work.grid.profile.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [(event["eventType"], event["job"]["name"]) for event in map(json.loads, lines)]


def test_events_of_what_ran_and_none_of_what_was_reused(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    jobs = told(tmp_path, instance)
    assert jobs.launch("inputs", "seed_examples").success
    assert jobs.launch("inputs", "seed_examples").success
    assert jobs.launch("controls", "seed_subset", key="8").success
    assert events(jobs) == [(e, a) for a in ("seed_examples", "seed_subset") for e in ("START", "COMPLETE")]


def test_a_step_that_fails_says_so(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    jobs = told(tmp_path, instance, train_sizes="train_sizes = [8, 5000]")
    assert jobs.launch("inputs", "seed_examples").success
    assert not jobs.launch("controls", "seed_subset", key="5000").success
    assert events(jobs)[-2:] == [("START", "seed_subset"), ("FAIL", "seed_subset")]


def test_nothing_that_is_written_holds_a_secret_of_the_environment(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    jobs = told(tmp_path, instance)
    assert jobs.launch("inputs", "seed_examples").success
    assert jobs.launch("report", "lineage_db").success
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {"manifest.json", "lineage.duckdb", "events.jsonl"} <= {p.name for p in written}
    for path in written:
        data = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in data], path
    assert os.environ["HF_TOKEN"] == SECRETS["HF_TOKEN"]


def test_without_mlflows_client_a_run_is_refused_and_everything_else_works(
    dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = dagster_home / "own.toml"
    profile.write_text(f'mlflow = "http://127.0.0.1:9"\n{SMOKE}', encoding="utf-8")
    monkeypatch.setattr("nomad_assets.integrations.tracking.importlib.util.find_spec", lambda name: None)
    with pytest.raises(NomadError, match="MLflow's client is not installed; pip install mlflow-skinny"):
        run(profile, until="seed_subset")
    grid, store = opened(profile)
    assert {found.state for found in status(grid, store)} == {"missing"}
    assert list(check_everything(work_of(str(profile)))) == []
