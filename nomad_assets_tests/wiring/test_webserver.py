"""The project behind a real Dagster webserver and daemon: GraphQL as the UI speaks it."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets_tests.crash import Reader, Run, differences, left_in_staging, lineage_rows
from nomad_assets_tests.smoke_grid import ROOT, enter_home, opened, run, write_profile
from nomad_assets_tests.webserver import Server

pytestmark = pytest.mark.system

GROUPS = "query { assetNodes { assetKey { path } groupName description isPartitioned partitionDefinition { type } } }"
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status error { message } } } }"""
SCORES = """query { assetNodeOrError(assetKey: {path: ["own", "student_scores"]}) { ... on AssetNode {
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_home(tmp_path, monkeypatch)


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
    profile = write_profile(home, train_sizes="train_sizes = [8, 16]\nprompt_loss = { unmasked = 1.0 }")
    for asset in ("seed_subset", "base_scores"):
        assert run(profile, until=asset)[0] == []

    _, store = opened(profile)
    server, beside = Server(home, profile), None
    try:
        server.wait()
        nodes = {"/".join(node["assetKey"]["path"]): node for node in server.query(GROUPS)["assetNodes"]}
        assert nodes["own/teacher_model"]["groupName"] == "own_teachers"
        assert nodes["own/seed_examples"]["groupName"] == "own_inputs"
        assert nodes["own/teacher_model"]["description"].startswith("A model that writes training data")
        repository = {"repositoryName": "__repository__", "repositoryLocationName": "nomad_assets"}
        cells = {
            "selector": {"repositorySelector": repository, "partitionSetName": "own_grid_partition_set"},
            "partitionNames": ["unmasked|8", "unmasked|16"],
        }
        launched = server.query(LAUNCH, params=cells)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        with Reader(store.root) as reader:
            beside = Run(home, profile)
            wait_for(server, launched["backfillId"])
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
    whole, found = lineage_rows(finished.store.root), lineage_rows(store.root)
    common = {name: whole[name] for name in found if not name.startswith("recipe_report/")}
    assert differences(common, {name: found[name] for name in common}) == []
    for size in (8, 16):
        for name in SELECTED[1:]:
            assert store.require(name, Cell(size, "unmasked")).manifest.version == 1


def wait_for(server: Server, backfill: str) -> None:
    while True:
        state = server.query(BACKFILL, id=backfill)["partitionBackfillOrError"]
        if state["status"] in ("COMPLETED_SUCCESS", "COMPLETED"):
            return
        assert state["status"] in ("REQUESTED", "STARTED", "COMPLETING"), state
        time.sleep(1)
