"""The project behind a real Dagster webserver and daemon: GraphQL as the UI speaks it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from nomad_assets.storage import Store
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.profile.load import load_profile
from nomad_assets_tests.crash import Reader, Run, differences, left_in_staging, lineage_rows
from nomad_assets_tests.test_graph import ROOT, write_profile

pytestmark = pytest.mark.system

LOCATION = """query { workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {
  __typename ... on RepositoryLocation { name } ... on PythonError { message } } } } } }"""
GROUPS = "query { assetNodes { assetKey { path } groupName description isPartitioned partitionDefinition { type } } }"
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status error { message } } } }"""
SCORES = """query { assetNodeOrError(assetKey: {path: ["student_scores"]}) { ... on AssetNode {
  assetMaterializations { partition metadataEntries { label ... on FloatMetadataEntry { floatValue }
  ... on TextMetadataEntry { text } } } } } }"""
SELECTED = (
    "seed_subset",
    "teacher_model",
    "synthetic_corpus",
    "curated_corpus",
    "corpus_profile",
    "student_model",
    "student_scores",
)


class Server:
    """`dagster dev` (webserver and daemon) on a free loopback port, with an instance and a store of its own."""

    def __init__(self, home: Path, profile: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home, self.profile = home, profile
        environment = {
            **os.environ, "DAGSTER_HOME": str(home), "NOMAD_HOME": str(home / "lake"), "NOMAD_PROFILE": str(profile),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.log = open(home / "server.log", "w")  # noqa: SIM115  closed in stop()
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(self.port)],
            cwd=home, env=environment, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def query(self, text: str, **variables: object) -> dict:
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, Path(self.log.name).read_text()
            try:
                entries = self.query(LOCATION)["workspaceOrError"]["locationEntries"]
                if entries and entries[0]["loadStatus"] == "LOADED":
                    assert entries[0]["locationOrLoadError"] == {
                        "__typename": "RepositoryLocation",
                        "name": "nomad_assets",
                    }
                    return
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"the webserver did not come up: {Path(self.log.name).read_text()}")

    def stop(self) -> None:
        """End it, and the webserver, daemon and code servers that it started and may leave behind."""
        started = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for process in psutil.wait_procs(started, timeout=10)[1]:
            process.kill()
        self.log.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait starve the other processes
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_ui_is_served_on_this_machine_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open-source webserver has no login."""
    asked = ["make", "--no-print-directory", "--dry-run", "ui"]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].split()[-2:] == [".venv/bin/nomad-assets", "ui"]
    shutil.copy(ROOT / "workspace.yaml", home)
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    done = CliRunner().invoke(app, ["ui", "--profile", "smoke"])
    assert done.exit_code == 0, done.stderr
    ((_, *arguments),) = started
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert Path(os.environ.pop("NOMAD_PROFILE")).name == "smoke.toml"


def test_a_backfill_and_a_run_beside_it_end_well_and_its_scores_can_be_read(finished, home: Path) -> None:
    from nomad_assets.runs import run_grid

    profile = write_profile(home, train_sizes="train_sizes = [8, 16]\nprompt_loss = { unmasked = 1.0 }")
    for asset in ("seed_subset", "base_scores"):
        assert run_grid(str(profile), [], asset, False, lambda *_: None, lambda _: None) == []

    store = Store.of(load_profile(str(profile)))
    server, beside = Server(home, profile), None
    try:
        server.wait(90)
        nodes = {node["assetKey"]["path"][0]: node for node in server.query(GROUPS)["assetNodes"]}
        assert nodes["teacher_model"]["groupName"] == "teachers" and nodes["seed_examples"]["groupName"] == "inputs"
        assert nodes["teacher_model"]["description"].startswith("A model fine-tuned to write training data")
        repository = {"repositoryName": "__repository__", "repositoryLocationName": "nomad_assets"}
        cells = {
            "selector": {"repositorySelector": repository, "partitionSetName": "grid_partition_set"},
            "partitionNames": ["unmasked|8", "unmasked|16"],
        }
        launched = server.query(LAUNCH, params=cells)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        with Reader(store.root) as reader:
            beside = Run(home, profile)
            wait_for(server, launched["backfillId"], seconds=400)
            assert beside.wait(400) == 0, beside.messages
        materialized = server.query(SCORES)["assetNodeOrError"]["assetMaterializations"]
        assert {entry["partition"] for entry in materialized} == {"unmasked|8", "unmasked|16"}
        labels = {entry["label"] for entry in materialized[0]["metadataEntries"]}
        assert {"artifact_id", "seconds", "trivia_exact_match", "word_problems_answer_logprob"} <= labels
    finally:
        server.stop()
        if beside is not None:
            beside.kill()
    assert reader.torn == [] and {version.name for version in reader.seen} == {"v000001"}
    assert left_in_staging(store.root) == []
    # A grid of two arms and one of them alone have all but the report in common.
    whole, found = lineage_rows(finished[1].root), lineage_rows(store.root)
    common = {name: whole[name] for name in found if not name.startswith("recipe_report/")}
    assert differences(common, {name: found[name] for name in common}) == []
    for size in (8, 16):
        for name in SELECTED[1:]:
            assert store.require(name, Cell(size, "unmasked")).manifest.version == 1


def wait_for(server: Server, backfill: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = server.query(BACKFILL, id=backfill)["partitionBackfillOrError"]
        if state["status"] in ("COMPLETED_SUCCESS", "COMPLETED"):
            return
        assert state["status"] in ("REQUESTED", "STARTED", "COMPLETING"), state
        time.sleep(1)
    raise AssertionError(f"backfill not done after {seconds} s: {state}")
