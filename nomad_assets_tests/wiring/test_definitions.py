"""What Dagster sees of a grid, and of two beside each other."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.definitions import build_definitions, definitions_of, work_of
from nomad_assets.steps import GRAPH
from nomad_assets.store.local import LocalStore
from nomad_assets.wiring.work import Work
from nomad_assets_tests.smoke_grid import write_profile
from nomad_assets_tests.wiring.snapshot import SNAPSHOT, smoke, snapshot


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return smoke(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def definitions(work: Work) -> dg.Definitions:
    return definitions_of(work)


def test_everything_that_dagster_sees_is_as_the_snapshot_says(work: Work) -> None:
    """A difference that is meant is taken over with `python -m nomad_assets_tests.wiring.snapshot`."""
    assert snapshot(work) == SNAPSHOT.read_text(encoding="utf-8")


def test_the_dimensions_of_the_grid(definitions: dg.Definitions) -> None:
    partitions = definitions.resolve_asset_graph().get(dg.AssetKey(["smoke", "teacher_model"])).partitions_def
    assert {d.name: d.partitions_def.get_partition_keys() for d in partitions.partitions_defs} == {
        "arm": ["masked", "unmasked"],
        "train_size": ["8", "16"],
    }


def test_every_asset_has_its_version_and_begins_with_a_sentence(work: Work, definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        if (step := work.grid.graph.get(spec.key.path[-1])) is not None:
            assert spec.code_version == step.version
        first, *_ = spec.description.split("\n\n")
        assert first.endswith(".") and first[0].isupper(), spec.key
        assert not any(line.startswith("    ") for line in spec.description.splitlines()), f"{spec.key}: shown as code"


def test_definitions_are_loadable(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def names(definitions: dg.Definitions) -> set[str]:
    """Of everything that two grids could collide on; Dagster's own begin with two underscores."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    jobs = {job.name for job in repository.get_all_jobs()}
    nodes = {node.name for job in repository.get_all_jobs() for node in job.all_node_defs}
    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys()}
    automations = {one.name for one in [*repository.sensor_defs, *repository.schedule_defs]}
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    return {name for name in keys | jobs | nodes | groups | automations if not name.startswith("__")}


def test_grids_with_other_prefixes_share_no_name(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    first, second = (build_definitions("smoke", key_prefix=prefix, store=store) for prefix in ("team/a", ["team", "b"]))
    both = dg.Definitions.merge(first, second)
    dg.Definitions.validate_loadable(both)
    assert names(first) & names(second) == set()
    assert names(both) == names(first) | names(second)
    assert len(names(first)) == len(names(build_definitions("smoke", store=store)))


def test_the_name_of_the_profile_stands_before_everything(tmp_path: Path) -> None:
    path = write_profile(tmp_path)
    odd = path.rename(tmp_path / "my-own.v2.toml")
    found = names(build_definitions(odd, store=LocalStore(tmp_path / "store")))
    assert all(name.startswith(("my_own_v2/", "my_own_v2_")) for name in found), found


def test_a_grid_says_how_its_steps_are_executed(tmp_path: Path) -> None:
    """Steps of one cell share a process unless the profile isolates them or an executor is given."""
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8")
    for isolated, given, expected in (
        ("false", None, dg.in_process_executor),
        ("true", None, dg.multiprocess_executor),
        ("true", dg.in_process_executor, dg.in_process_executor),
    ):
        path.write_text(f"isolate_steps = {isolated}\n{text}", encoding="utf-8")
        work = work_of(path, store=LocalStore(tmp_path / "store"), executor=given)
        jobs = definitions_of(work).resolve_all_job_defs()
        assert {job.executor_def for job in jobs if job.name == "own_grid"} == {expected}


HEAVY = (
    "torch", "transformers", "altair", "vl_convert", "sentence_transformers", "lm_eval", "vllm", "datasets", "duckdb", "mlflow",
)  # fmt: skip
LOAD = """
import sys
from nomad_assets.definitions import defs
print(len(defs().resolve_asset_graph().get_all_asset_keys()), *[name for name in sys.argv[1:] if name in sys.modules])
"""


def test_the_code_location_imports_nothing_heavy() -> None:
    run = subprocess.run([sys.executable, "-c", LOAD, *HEAVY], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(len(GRAPH) + 1)]
