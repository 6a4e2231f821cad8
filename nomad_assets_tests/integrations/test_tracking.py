"""MLflow: what a run of the grid writes to a real server, and what a server that is not there costs."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.integrations.tracking import tracker
from nomad_assets.profile.load import load_profile
from nomad_assets.storage import Store
from nomad_assets_tests.test_graph import run, write_profile


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server with a database and an artifact folder of its own."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, (folder / "log.txt").read_text()
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.5)
        else:
            raise AssertionError((folder / "log.txt").read_text())
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.mark.system
def test_a_run_of_the_grid_is_in_mlflow(server: str, dagster_home: Path) -> None:
    from mlflow import MlflowClient

    path = write_profile(dagster_home, seed=f'seed = 7\nmlflow = "{server}"')
    failures, _ = run(path, until="corpus_profile", cells=["8/unmasked"])
    assert failures == []
    profile = load_profile(str(path))
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name(f"nomad-assets/{profile.name}")
    runs = {found.data.tags["artifact_id"]: found for found in client.search_runs([experiment.experiment_id])}
    store = Store.of(profile)
    for name, cell in (
        ("seed_examples", Cell()),
        ("teacher_model", Cell(8, "unmasked")),
        ("corpus_profile", Cell(8, "unmasked")),
    ):
        manifest = store.current(name, cell).manifest
        found = runs[manifest.artifact_id]
        assert found.info.run_name == f"{name} {cell.label}" and found.info.status == "FINISHED"
        assert found.data.metrics["seconds"] == manifest.seconds
        assert {"manifest.json"} <= {file.path for file in client.list_artifacts(found.info.run_id)}
    teacher = store.current("teacher_model", Cell(8, "unmasked")).manifest
    found = runs[teacher.artifact_id]
    assert found.data.params["training.learning_rate"] == "0.01" and found.data.params["prompt_loss_weight"] == "1.0"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [[point.step, point.value] for point in sorted(history, key=lambda p: p.step)] == teacher.metrics[
        "training_curve"
    ]
    again, _ = run(path, until="corpus_profile", cells=["8/unmasked"])
    assert again == [] and len(client.search_runs([experiment.experiment_id])) == len(runs)


def test_a_database_file_needs_no_server(finished, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    profile = finished[0].model_copy(update={"mlflow": str(tmp_path / "runs" / "mlflow.db")})
    artifact = finished[1].current("student_scores", Cell(16, "unmasked"))
    warnings: list[str] = []
    run_id = tracker(profile).record(artifact, warnings.append)
    assert warnings == []
    found = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}").get_run(run_id)
    assert found.data.metrics["trivia_exact_match"] == artifact.manifest.metrics["trivia_exact_match"]
    assert (tmp_path / "runs" / "mlflow.db-artifacts").is_dir() and not Path("mlruns").exists()


def test_a_server_that_is_not_there_costs_a_warning_and_seconds(finished) -> None:
    profile = finished[0].model_copy(update={"mlflow": f"http://127.0.0.1:{free_port()}"})
    warnings: list[str] = []
    begun = time.monotonic()
    assert tracker(profile).record(finished[1].current("base_scores", Cell()), warnings.append) is None
    assert time.monotonic() - begun < 30
    (warning,) = warnings
    assert "was not tracked" in warning and "base_scores/" in warning


@pytest.mark.parametrize(
    ("setting", "said"),
    [("ftp://host", "unsupported scheme"), ("https://ann:secret@host", "MLFLOW_TRACKING_USERNAME")],
)
def test_a_setting_that_cannot_be_meant_is_named(finished, setting: str, said: str) -> None:
    with pytest.raises(NomadError, match=said) as raised:
        tracker(finished[0].model_copy(update={"mlflow": setting}))
    assert "secret" not in str(raised.value)


def test_nothing_is_sent_without_the_setting(finished) -> None:
    assert tracker(finished[0]) is None


def test_a_server_that_never_answers_is_given_up(finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomad_assets.integrations.tracking.DEADLINE", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        profile = finished[0].model_copy(update={"mlflow": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        warnings: list[str] = []
        begun = time.monotonic()
        assert tracker(profile).record(finished[1].current("base_scores", Cell()), warnings.append) is None
        assert time.monotonic() - begun < 10
    assert warnings and "no answer within 2 s" in warnings[0]
