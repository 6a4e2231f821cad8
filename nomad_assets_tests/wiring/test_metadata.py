"""What Dagster is told of an artifact: figures, columns, progress, and settings that are other ones for a run."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.definitions import work_of
from nomad_assets.engine.listeners import Attempt, Run
from nomad_assets.engine.output import Markdown
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH
from nomad_assets.wiring import listener
from nomad_assets.wiring.metadata import column_metadata, shown_metadata, table_value
from nomad_assets_tests.smoke_grid import made, write_profile
from nomad_assets_tests.wiring.dagster_runs import OWN, Jobs


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path)


@pytest.fixture
def jobs(profile: Path, instance: dg.DagsterInstance) -> Jobs:
    return Jobs(work_of(profile), instance)


def test_what_the_ui_shows_of_an_artifact(jobs: Jobs) -> None:
    pool = jobs.metadata("inputs", "seed_examples")
    subset = jobs.metadata("controls", "seed_subset", key="16")
    summary = jobs.metadata("report", "lineage_db")
    artifact = jobs.work.store.require("seed_subset", Cell(16)).manifest
    assert subset["artifact_id"].value == artifact.artifact_id
    assert artifact.parents["seed_examples/-"] in subset["parents"].value
    assert subset["dagster/row_count"].value == 16
    columns = [c.name for c in subset["dagster/column_schema"].schema.columns]
    assert columns == ["id", "position", "prompt", "response", "source"]
    deps = subset["dagster/column_lineage"].lineage.deps_by_column
    assert [(d.asset_key.to_user_string(), d.column_name) for d in deps["prompt"]] == [("own/seed_examples", "prompt")]
    assert "dagster/column_schema" in pool
    rows = {record.data["asset"]: record.data for record in summary["summary"].records}
    assert set(rows) == {"seed_examples", "seed_subset"} and rows["seed_subset"]["rows"] == "16"
    assert summary["artifacts"].value == 2 and summary["edges"].value == 1


def test_what_is_reused_is_shown_as_when_it_was_made(jobs: Jobs) -> None:
    first, again = (jobs.metadata("inputs", "seed_examples") for _ in range(2))
    assert (first["reused"].value, again["reused"].value) == (False, True)
    assert {**first, "reused": again["reused"]} == again and again["preview"].records


def test_columns_and_their_origins_are_taken_by_dagster() -> None:
    def asset(name: str) -> dg.AssetsDefinition:
        @dg.asset(key=OWN.key(name), deps=[OWN.key(parent) for parent in GRAPH[name].inputs])
        def materialise() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata=column_metadata(GRAPH[name], GRAPH, OWN))

        return materialise

    result = dg.materialize([asset(name) for name in GRAPH], instance=dg.DagsterInstance.ephemeral())
    given = {
        event.asset_key.path[-1]: {
            key: value.value
            for key, value in event.materialization.metadata.items()
            if key.startswith("dagster/column")
        }
        for event in result.get_asset_materialization_events()
    }
    assert given["base_model"] == {}
    subset = given["seed_subset"]["dagster/column_schema"].columns
    assert subset[0] == dg.TableColumn(
        "id", "String", "id of the seed row", dg.TableColumnConstraints(nullable=False, unique=True)
    )
    curated = given["curated_corpus"]["dagster/column_lineage"].deps_by_column
    assert set(curated["novelty"]) == {
        dg.TableColumnDep(OWN.key("synthetic_corpus"), "prompt"), dg.TableColumnDep(OWN.key("seed_subset"), "prompt"),
    }  # fmt: skip
    assert "dagster/column_lineage" not in given["synthetic_corpus"]
    assert len(given["recipe_report"]["dagster/column_lineage"].deps_by_column["difference"]) == 3 * 4


def test_tables_and_texts_are_shown_as_such() -> None:
    table = table_value(pl.DataFrame({"a": [1, None], "b": [0.5, 1.0]}))
    assert [record.data for record in table.records][1]["a"] == ""
    assert table_value(pl.DataFrame({"a": []})).value == "no rows"
    assert shown_metadata({"report": Markdown("# Report")}) == {"report": dg.MetadataValue.md("# Report")}


def test_a_setting_that_is_changed_for_one_run_is_recorded_and_then_undone(jobs: Jobs) -> None:
    store, before = jobs.work.store, jobs.work.grid.seed("seed_examples", Cell())
    assert "made_because" not in jobs.metadata("inputs", "seed_examples")
    shown = jobs.metadata("inputs", "seed_examples", settings={"seed": 8})
    changed = store.require("seed_examples", Cell()).manifest
    assert changed.version == 2 and changed.settings["seed"] == changed.seed != before
    assert shown["made_because"].value == f"seed {before} → {changed.seed}"
    assert jobs.launch("inputs", "seed_examples").success
    again = store.require("seed_examples", Cell()).manifest
    assert again.version == 3 and again.settings["seed"] == before


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
def test_a_setting_that_cannot_be_changed_is_one_sentence(jobs: Jobs, settings: dict, said: str) -> None:
    assert said in jobs.failure("inputs", "seed_examples", settings=settings)
    assert jobs.work.store.current("seed_examples", Cell()) is None


def test_what_cannot_be_made_yet_names_the_job_that_makes_what_is_missing(jobs: Jobs) -> None:
    said = jobs.failure("controls", "seed_subset", key="8")
    assert said.startswith("seed_subset [8]: seed_examples [-] has not been materialised in ")
    assert said.endswith("launch the job own_inputs")
    made(jobs.work.grid, jobs.work.store, "seed_examples", "base_model")
    assert jobs.failure("grid", "teacher_model", key="masked|8").endswith("launch the job own_controls")


def test_owners_tags_and_cost(profile: Path, instance: dg.DagsterInstance) -> None:
    text = profile.read_text(encoding="utf-8")
    profile.write_text(f'owners = ["ann@example.org", "team:data"]\nprice_per_hour = 3600.0\n{text}', encoding="utf-8")
    priced = Jobs(work_of(profile), instance)
    for spec in priced.definitions.resolve_all_asset_specs():
        assert set(spec.owners) == {"ann@example.org", "team:data"} and spec.tags["nomad/profile"] == "own"
    shown = priced.metadata("inputs", "seed_examples")
    assert shown["cost"].value == pytest.approx(shown["seconds"].value) and shown["mib_on_disk"].value > 0
    (run,) = instance.get_runs(limit=1)
    assert run.tags["nomad/profile"] == "own"
    profile.write_text(text.replace("seed = 7", 'seed = 7\nowners = ["ann"]'), encoding="utf-8")
    with pytest.raises(NomadError, match='team as "team:name"'):
        load_profile(str(profile))


class Context:
    """What a listener needs of a step's context."""

    asset_key = OWN.key("teacher_model")
    has_partition_key, partition_key = True, "unmasked|16"

    def __init__(self) -> None:
        self.events: list[dg.AssetObservation] = []

    def log_event(self, event: dg.AssetObservation) -> None:
        self.events.append(event)


def test_progress_is_observed_now_and_then_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 10.0, 12.0, 40.0])
    monkeypatch.setattr(listener.time, "monotonic", lambda: next(clock))
    context, attempt = Context(), Attempt(GRAPH["teacher_model"], Cell(16, "unmasked"), Run("", "own_grid"))
    told = listener.DagsterListener(context)
    for done, facts in ((0, {"loss": 3.0}), (10, {"loss": 2.0}), (12, {"loss": 2.0})):
        told.progressed(attempt, "training", done, 100, facts)
    told.progressed(attempt, "training", 40, 100, {"loss": 1.0, "tokens_per_second": 200.0})
    (event,) = context.events  # the others came within 15 seconds
    assert (event.asset_key, event.partition) == (OWN.key("teacher_model"), "unmasked|16")
    shown = {key: value.value for key, value in event.metadata.items()}
    assert shown == {
        "stage": "training", "done": 40.0, "total": 100.0, "loss": 1.0, "tokens_per_second": 200.0, "seconds_left": 60.0,
    }  # fmt: skip
