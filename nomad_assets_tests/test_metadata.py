"""What a run leaves beside its artifacts: metadata for the UI, OpenLineage events, and none of the environment's secrets."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.assets.project import Project
from nomad_assets.definitions import build_definitions
from nomad_assets.partitions import Cell
from nomad_assets.profile import load_profile
from nomad_assets_tests.test_graph import write_profile

SECRETS = {
    "HF_TOKEN": "hf_topsecret0001", "OPENLINEAGE_API_KEY": "ol_topsecret0002", "AWS_SECRET_ACCESS_KEY": "aws_topsecret0003",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = write_profile(tmp_path)
    path.write_text(f'openlineage = "events.jsonl"\n{path.read_text(encoding="utf-8")}', encoding="utf-8")
    return Project(load_profile(str(path)))


def run(
    project: Project, instance: dg.DagsterInstance, job: str, *assets: str, key: str | None = None
) -> dg.ExecuteInProcessResult:
    return build_definitions(project).resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=key, asset_selection=[dg.AssetKey(name) for name in assets], raise_on_error=False
    )  # fmt: skip


def events(project: Project) -> list[tuple[str, str]]:
    lines = (project.profile.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [(event["eventType"], event["job"]["name"]) for event in map(json.loads, lines)]


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict:
    (made,) = result.asset_materializations_for_node(asset)
    return made.metadata


def test_what_the_ui_shows_of_an_artifact(project: Project) -> None:
    with dg.instance_for_test() as instance:
        pool = metadata(run(project, instance, "inputs", "seed_examples"), "seed_examples")
        subset = metadata(run(project, instance, "controls", "seed_subset", key="16"), "seed_subset")
        summary = metadata(run(project, instance, "report", "lineage_db"), "lineage_db")
    artifact = project.store.require("seed_subset", Cell(16)).manifest
    assert subset["artifact_id"].value == artifact.artifact_id
    assert artifact.parents["seed_examples/-"] in subset["parents"].value
    assert subset["dagster/row_count"].value == 16
    assert [c.name for c in subset["dagster/column_schema"].schema.columns] == [
        "id",
        "position",
        "prompt",
        "response",
        "source",
    ]
    deps = subset["dagster/column_lineage"].lineage.deps_by_column
    assert [(d.asset_key.to_user_string(), d.column_name) for d in deps["prompt"]] == [("seed_examples", "prompt")]
    assert "dagster/column_schema" in pool
    rows = {record.data["asset"]: record.data for record in summary["summary"].records}
    assert set(rows) == {"seed_examples", "seed_subset"} and rows["seed_subset"]["rows"] == "16"
    assert summary["artifacts"].value == 2 and summary["edges"].value == 1


def test_events_of_what_ran_and_none_of_what_was_reused(project: Project) -> None:
    with dg.instance_for_test() as instance:
        assert run(project, instance, "inputs", "seed_examples").success
        assert run(project, instance, "inputs", "seed_examples").success
        assert run(project, instance, "controls", "seed_subset", key="8").success
    assert events(project) == [(e, a) for a in ("seed_examples", "seed_subset") for e in ("START", "COMPLETE")]


def test_a_step_that_fails_says_so(tmp_path: Path, project: Project) -> None:
    path = write_profile(tmp_path, train_sizes="train_sizes = [8, 5000]")
    path.write_text(f'openlineage = "events.jsonl"\n{path.read_text(encoding="utf-8")}', encoding="utf-8")
    broken = Project(load_profile(str(path)))
    with dg.instance_for_test() as instance:
        assert run(broken, instance, "inputs", "seed_examples").success
        assert not run(broken, instance, "controls", "seed_subset", key="5000").success
    assert events(broken)[-2:] == [("START", "seed_subset"), ("FAIL", "seed_subset")]


def test_nothing_that_is_written_holds_a_secret_of_the_environment(project: Project) -> None:
    with dg.instance_for_test() as instance:
        assert run(project, instance, "inputs", "seed_examples").success
        assert run(project, instance, "report", "lineage_db").success
    written = [p for p in project.profile.folder.rglob("*") if p.is_file()]
    assert any(p.name == "manifest.json" for p in written) and any(p.name == "lineage.duckdb" for p in written)
    for path in written:
        data = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in data], path
    assert os.environ["HF_TOKEN"] == SECRETS["HF_TOKEN"]
