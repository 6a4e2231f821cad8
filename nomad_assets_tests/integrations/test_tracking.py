"""MLflow: what is written to a real server or database, and what a server that is not there costs."""

import builtins
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.runner import Made, Reused
from nomad_assets.errors import NomadError
from nomad_assets.integrations.tracking import DEADLINE, Tracker, tracker
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.steps import GRAPH
from nomad_assets.steps.models import TrainingCurve
from nomad_assets.steps.report import HTML
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import WORLD, LoudConfig, Recorder, make, make_all


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


CELL = Cell(2, "high")
CURVE = [[1, 3.0], [2, 2.5]]


def train(config: LoudConfig, inputs: Inputs, out: Output) -> None:
    """A toy that leaves what a training run and a report leave."""
    LOUD_BODY(config, inputs, out)
    rows = [(step, loss, 0.01, 1.0) for step, loss in CURVE]
    out.write(pl.DataFrame(rows, schema=["step", "loss", "learning_rate", "grad_norm"], orient="row"), TrainingCurve)
    out.path(HTML).write_text("<p>read me</p>")
    out.report(rows=2, tokens=9, training_curve=CURVE, precision="fp32", resumed=False, nothing=None)


LOUD = WORLD.graph["loud"]
LOUD_BODY = LOUD.body
GRID = WORLD.changed("loud", body=train, tables={**LOUD.tables, "curve.parquet": TrainingCurve}, files=(HTML,))


@pytest.fixture
def parents(store: LocalStore) -> LocalStore:
    """A store with what the toy step reads."""
    make(store, "words")
    make(store, "sample", Cell(2))
    return store


def profile(setting: str | None) -> Profile:
    return load_profile("smoke").model_copy(update={"mlflow": setting})


def tracked(store: LocalStore, listener: Tracker, force: bool = False) -> tuple[Made | Reused, list[str]]:
    """The toy step with this listener: what came of it, and the warnings."""
    heard = Recorder()
    return make(store, "loud", CELL, listener, heard, grid=GRID, force=force), heard.warnings


def assert_is_tracked(address: str, experiment: str, made: Made) -> None:
    from mlflow import MlflowClient

    client, record = MlflowClient(tracking_uri=address), made.artifact.manifest
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert found.info.run_name == "loud 2/high" and found.info.status == "FINISHED"
    tags = found.data.tags
    assert (tags["artifact_id"], tags["asset"], tags["cell"]) == (record.artifact_id, "loud", "2/high")
    assert (tags["dagster_run_id"], tags["precision"]) == (record.run_id, "fp32")
    assert found.data.params == {"seed": "0", "style.mark": "!", "style.repeats.0.times": "1"}
    figures = {"seconds": record.seconds, "rows": 2, "tokens": 9, "longest": 3, "loss": 2.5}
    assert {name: found.data.metrics[name] for name in figures} == figures
    assert not {"resumed", "nothing"} & {*found.data.metrics, *tags}
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [[point.step, point.value] for point in sorted(history, key=lambda p: p.step)] == CURVE
    uploaded = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert uploaded == {"manifest.json", "curve.parquet", "report.html"}  # the corpus stays in the store
    text = Path(client.download_artifacts(found.info.run_id, "manifest.json")).read_text(encoding="utf-8")
    assert text == record.text()


@pytest.mark.system
def test_what_is_made_is_in_mlflow_once(server: str, parents: LocalStore) -> None:
    listener = tracker(profile(server))
    made, warnings = tracked(parents, listener)
    assert warnings == []
    assert_is_tracked(server, "nomad-assets/smoke", made)
    assert isinstance(tracked(parents, listener)[0], Reused)
    assert_is_tracked(server, "nomad-assets/smoke", made)


def test_a_database_file_needs_no_server(parents: LocalStore, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made, warnings = tracked(parents, tracker(profile(str(tmp_path / "runs" / "mlflow.db"))))
    assert warnings == []
    assert_is_tracked(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}", "nomad-assets/smoke", made)
    assert (tmp_path / "runs" / "mlflow.db-artifacts").is_dir() and not Path("mlruns").exists()


def test_what_people_look_at_is_uploaded_of_the_real_steps() -> None:
    from nomad_assets.integrations.tracking import _uploaded

    assert {name: _uploaded(step) for name, step in GRAPH.items() if _uploaded(step)} == {
        "teacher_model": ["curve.parquet"], "student_model": ["curve.parquet"], "control_model": ["curve.parquet"],
        "student_scores": ["scores.parquet"], "control_scores": ["scores.parquet"], "base_scores": ["scores.parquet"],
        "corpus_profile": ["metrics.parquet"], "recipe_report": ["comparisons.parquet", "report.md", "report.html"],
    }  # fmt: skip


def test_a_server_that_is_not_there_costs_a_warning(parents: LocalStore) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    made, warnings = tracked(parents, tracker(profile(address)))
    (warning,) = warnings
    assert warning.startswith(f"MLflow at {address}: what was made is not tracked: ")
    assert parents.require("loud", CELL).manifest == made.artifact.manifest


def test_a_server_that_never_answers_is_given_up(parents: LocalStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listener = tracker(profile(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert listener.deadline == DEADLINE
        listener.deadline = 1.0
        made, warnings = tracked(parents, listener)
    (warning,) = warnings
    assert isinstance(made, Made) and "no answer within 1 s" in warning


@pytest.mark.parametrize(
    ("setting", "said"),
    [("ftp://host", "unsupported scheme"), ("https://ann:secret@host", "MLFLOW_TRACKING_USERNAME")],
)
def test_a_setting_that_cannot_be_meant_is_named(setting: str, said: str) -> None:
    with pytest.raises(NomadError, match=said) as raised:
        tracker(profile(setting))
    assert "secret" not in str(raised.value)


def test_nothing_is_sent_without_the_setting() -> None:
    assert tracker(profile(None)) is None


# A client that is not installed.


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find, load = importlib.util.find_spec, builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name.partition(".")[0] == "mlflow":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "mlflow" else find(name, *a))
    monkeypatch.setattr(builtins, "__import__", missing)


def test_a_missing_client_is_a_problem_of_runs_alone(not_installed, parents: LocalStore) -> None:
    """Profiles are loaded and looked at without it, and who starts a run asks first."""
    listener = tracker(profile("http://host"))
    assert listener.problem() == (
        "profile smoke: mlflow = 'http://host': MLflow's client is not installed; pip install mlflow-skinny"
    )


def test_a_missing_client_is_said_before_a_step_that_nobody_asked_for(not_installed, store: LocalStore) -> None:
    listener = Recorder()
    make_all(store, tracker(profile("http://host")), listener)
    assert listener.events[:2] == ["warned", "started"] and "pip install mlflow-skinny" in listener.warnings[0]


def test_an_installed_client_is_no_problem() -> None:
    assert tracker(profile("http://host")).problem() is None
