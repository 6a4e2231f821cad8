"""What a run leaves beside its artifacts: metadata for the UI, OpenLineage events, and none of the environment's secrets."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
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
    project: Project,
    instance: dg.DagsterInstance,
    job: str,
    *assets: str,
    key: str | None = None,
    settings: dict | None = None,
) -> dg.ExecuteInProcessResult:
    ops = {name: {"config": {"settings": settings}} for name in assets} if settings else {}
    return build_definitions(project).resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=key, asset_selection=[dg.AssetKey(name) for name in assets], raise_on_error=False,
        run_config={"ops": ops},
    )  # fmt: skip


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


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


def test_a_setting_that_is_changed_for_one_run_is_recorded_and_then_undone(project: Project) -> None:
    with dg.instance_for_test() as instance:
        assert run(project, instance, "inputs", "seed_examples").success
        assert run(project, instance, "inputs", "seed_examples", settings={"seed": 8}).success
        changed = project.store.require("seed_examples", Cell()).manifest
        assert changed.version == 2 and changed.settings["seed"] == 8
        assert run(project, instance, "inputs", "seed_examples").success
    again = project.store.require("seed_examples", Cell()).manifest
    assert again.version == 3 and again.settings["seed"] == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"teacher.learning_rate": 0.001}, "'teacher.learning_rate' is not read by seed_examples"),
        ({"seed": "eight"}, "settings: seed = 'eight'"),
        ({"grid.train_sizes": [4]}, "'grid.train_sizes' cannot be changed in one run"),
        ({"name": "other"}, "'name' cannot be changed in one run"),
        ({"teachers.epochs": 1}, "'teachers.epochs': unknown key; sections: name, seed"),
        ({"teacher.epoch": 1}, "teacher.epoch = 1: unknown key; accepted here: epochs"),
    ],
)
def test_a_setting_that_cannot_be_changed_is_one_sentence(project: Project, settings: dict, said: str) -> None:
    with dg.instance_for_test() as instance:
        assert said in failure(run(project, instance, "inputs", "seed_examples", settings=settings))
    assert project.store.current("seed_examples", Cell()) is None


def test_owners_tags_and_cost(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f'owners = ["ann@example.org", "team:data"]\nprice_per_hour = 3600.0\n{text}', encoding="utf-8")
    priced = Project(load_profile(str(path)))
    definitions = build_definitions(priced)
    for spec in definitions.resolve_all_asset_specs():
        assert set(spec.owners) == {"ann@example.org", "team:data"} and spec.tags["nomad/profile"] == "own"
    with dg.instance_for_test() as instance:
        made = metadata(run(priced, instance, "inputs", "seed_examples"), "seed_examples")
    assert made["cost"].value == pytest.approx(made["seconds"].value) and made["mib_on_disk"].value > 0
    path.write_text(text.replace("seed = 7", 'seed = 7\nowners = ["ann"]'), encoding="utf-8")
    with pytest.raises(NomadError, match='team as "team:name"'):
        load_profile(str(path))


class Context:
    """What an observer needs of a step's context."""

    asset_key = dg.AssetKey("teacher_model")
    has_partition_key, partition_key = True, "unmasked|16"

    def __init__(self) -> None:
        self.events: list[dg.AssetObservation] = []

    def log_event(self, event: dg.AssetObservation) -> None:
        self.events.append(event)


def test_progress_is_observed_now_and_then_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from nomad_assets.assets import project as wiring

    clock = iter([0.0, 0.0, 10.0, 12.0, 40.0])
    monkeypatch.setattr(wiring.time, "monotonic", lambda: next(clock))
    context, heard = Context(), []
    observer = wiring._Observer(context, lambda *call: heard.append(call), "teacher_model 16/unmasked")
    observer("training", 0, 100, {"loss": 3.0})
    observer("training", 10, 100, {"loss": 2.0})
    observer("training", 12, 100, {"loss": 2.0})
    observer("training", 40, 100, {"loss": 1.0, "tokens_per_second": 200.0})
    assert len(heard) == 4
    (event,) = context.events  # the others came within 15 seconds
    assert event.partition == "unmasked|16"
    shown = {key: value.value for key, value in event.metadata.items()}
    assert shown == {
        "stage": "training", "done": 40.0, "total": 100.0, "loss": 1.0, "tokens_per_second": 200.0, "seconds_left": 60.0,
    }  # fmt: skip
