"""What Dagster sees of a grid: all of it derived from the steps, whose graph is a literal in steps/test_declared.py."""

import subprocess
import sys

import dagster as dg
import pytest

from nomad_assets.cells import Over
from nomad_assets.definitions import build_definitions
from nomad_assets.engine.checks import checks_of
from nomad_assets.steps import GRAPH
from nomad_assets.store.local import LocalStore

LINEAGE = "lineage_db"
CELLS = ["masked|8", "masked|16", "unmasked|8", "unmasked|16"]
PARTITIONS: dict[Over, list[str]] = {Over.GRID: [], Over.SIZES: ["8", "16"], Over.CELLS: CELLS}
JOBS = {
    "inputs": ({"seed_examples", "benchmark_questions", "base_model", "base_scores"}, []),
    "controls": ({"seed_subset", "control_model", "control_scores"}, ["8", "16"]),
    "grid": (
        {"teacher_model", "synthetic_corpus", "curated_corpus", "corpus_profile", "student_model", "student_scores"}, CELLS,
    ),
    "report": ({"recipe_report", LINEAGE}, []),
    "evaluation": ({"student_scores"}, CELLS),
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions("smoke", store=LocalStore(tmp_path_factory.mktemp("store")))


def keys(partitions: dg.PartitionsDefinition | None) -> set[str]:
    return set(partitions.get_partition_keys()) if partitions is not None else set()


def names(found: object) -> set[str]:
    return {key.path[-1] for key in found}


def test_every_step_is_an_asset(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {f"smoke/{n}" for n in (*GRAPH, LINEAGE)}
    for name, step in GRAPH.items():
        node = graph.get(dg.AssetKey(["smoke", name]))
        assert names(node.parent_keys) == set(step.inputs), name
        assert keys(node.partitions_def) == set(PARTITIONS[step.over]), name
        assert node.group_name == f"smoke_{step.group}" and node.code_version == step.version, name
        assert node.pools == ({"accelerator"} if step.heavy else set()), name
        assert node.description == step.description, name


def test_lineage_reads_everything(definitions: dg.Definitions) -> None:
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["smoke", LINEAGE]))
    assert (names(node.parent_keys), node.partitions_def, node.group_name) == (set(GRAPH), None, "smoke_lineage")
    assert node.description


def test_every_check_is_a_check_of_its_asset_in_every_partition(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found: dict[str, set[str]] = {}
    for key in graph.asset_check_keys:
        found.setdefault(key.asset_key.path[-1], set()).add(key.name)
        assert keys(graph.get(key).partitions_def) == keys(graph.get(key.asset_key).partitions_def), key
        assert graph.get(key).description, key
    declared = {name: {check.name for check in checks_of(step)} for name, step in GRAPH.items()}
    assert found == {**declared, LINEAGE: {"every_parent_is_known"}}


def test_the_dimensions_of_the_grid(definitions: dg.Definitions) -> None:
    partitions = definitions.resolve_asset_graph().get(dg.AssetKey(["smoke", "teacher_model"])).partitions_def
    assert {d.name: d.partitions_def.get_partition_keys() for d in partitions.partitions_defs} == {
        "arm": ["masked", "unmasked"], "train_size": ["8", "16"],
    }  # fmt: skip


def test_the_jobs(definitions: dg.Definitions) -> None:
    assert {job.name for job in definitions.jobs} == {f"smoke_{name}" for name in (*JOBS, "checks")}
    for name, (assets, members) in JOBS.items():
        job = definitions.resolve_job_def(f"smoke_{name}")
        assert (names(job.asset_layer.executable_asset_keys), keys(job.partitions_def)) == (assets, set(members)), name
        checked = names(key.asset_key for key in job.asset_layer.asset_graph.asset_check_keys)
        assert checked & assets == assets, "a run of a job records the checks of what it made"


def test_definitions_are_loadable(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


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
