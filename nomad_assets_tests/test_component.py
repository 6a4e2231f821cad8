"""The component NomadGrid: its page, what `dg` says of it, what becomes of its attributes, and the example project."""

import re
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

import nomad_assets as na
from nomad_assets import NomadGrid
from nomad_assets.component import find_executor
from nomad_assets.errors import NomadError
from nomad_assets_tests import projects
from nomad_assets_tests.smoke_grid import ROOT, write_profile

EXAMPLE = ROOT / "examples" / "two-grids"


@pytest.fixture
def built(tmp_path: Path):
    """A function: attributes in YAML -> the definitions of a component in a folder that holds a profile, own.toml."""
    write_profile(tmp_path)

    def build(attributes: str) -> dg.Definitions:
        component = NomadGrid.resolve_from_yaml(attributes)
        return component.build_defs(dg.ComponentTree.for_test().load_context.for_path(tmp_path))

    return build


def done(project: Path, home: Path, *words: str) -> str:
    found = projects.dg(project, home, *words)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


# The page docs/dagster-projects.md


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "dagster-projects.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.M | re.S)


@pytest.mark.system
def test_the_pages_commands_list_scaffold_and_check_two_grids(tmp_path: Path) -> None:
    project = projects.new_project(tmp_path / "project")
    (commands,) = blocks("sh dg")
    said = [done(project, tmp_path, *line.split()[1:]) for line in commands.splitlines()]
    assert "nomad_assets.NomadGrid" in said[0]
    written = [project / "src" / "mine" / "defs" / name / "defs.yaml" for name in ("trivia", "sums")]
    attributes = [yaml.safe_load(path.read_text(encoding="utf-8"))["attributes"] for path in written]
    assert attributes == [
        {"profile": "quickstart", "key_prefix": "trivia"}, {"profile": "smoke", "key_prefix": "sums"},
    ]  # fmt: skip


def test_the_page_names_every_attribute() -> None:
    (text,) = blocks("yaml")
    component = yaml.safe_load(text)
    assert component["type"] == f"{na.__name__}.{NomadGrid.__name__}"
    assert list(component["attributes"]) == list(NomadGrid.model_fields)
    rows = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs" / "dagster-projects.md").read_text(encoding="utf-8"), flags=re.M
    )
    assert rows == list(NomadGrid.model_fields)


def test_the_pages_definitions_load() -> None:
    (code,) = blocks("python")
    names: dict = {}
    exec(compile(code, "docs/dagster-projects.md", "exec"), names)
    dg.Definitions.validate_loadable(names["defs"])
    assert names["defs"].resolve_job_def("team__sums_report") and names["defs"].resolve_job_def("quickstart_report")


# What `dg` refuses, and what becomes of the attributes


@pytest.mark.system
def test_dg_refuses_an_attribute_that_is_none(tmp_path: Path) -> None:
    project, attributes = projects.new_project(tmp_path / "project"), "{profile: quickstart, prefix: mygrid}"
    folder = project / "src" / "mine" / "defs" / "mygrid"
    folder.mkdir()
    (folder / "defs.yaml").write_text(f"type: nomad_assets.NomadGrid\nattributes: {attributes}\n", encoding="utf-8")
    refused = projects.dg(project, tmp_path, "check", "yaml")
    assert refused.returncode == 1 and "'prefix' was unexpected" in refused.stdout


def test_a_relative_profile_is_one_of_the_components_folder(built) -> None:
    keys = built("profile: own.toml").resolve_asset_graph().get_all_asset_keys()
    assert dg.AssetKey(["own", "seed_examples"]) in keys


def test_the_attributes_reach_the_definitions(built) -> None:
    @dg.asset(key=["raw", "seeds"])
    def seeds() -> list: ...

    grid = built("{profile: own.toml, key_prefix: team/grid, seeds_from: raw/seeds, executor: multiprocess}")
    found = dg.Definitions.merge(grid, dg.Definitions(assets=[seeds]))
    graph = found.resolve_asset_graph()
    pool = graph.get(dg.AssetKey(["team", "grid", "seed_examples"]))
    assert dg.AssetKey(["raw", "seeds"]) in pool.parent_keys
    assert found.resolve_job_def("team__grid_inputs").executor_def is dg.multiprocess_executor


def test_a_profile_that_is_not_there_is_named(built) -> None:
    with pytest.raises(NomadError, match=r"no file .*/theirs\.toml"):
        built("profile: theirs.toml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("in_process", dg.in_process_executor),
        ("dagster.multi_or_in_process_executor", dg.multi_or_in_process_executor),
    ],
)
def test_an_executor_is_found_by_its_name_or_its_import_path(text: str, found: dg.ExecutorDefinition) -> None:
    assert find_executor(text) is found


@pytest.mark.parametrize("text", ["k8s", "dagster.no_such_executor", "no_such_module.executor", "dagster.asset"])
def test_what_is_no_executor_is_named(text: str) -> None:
    with pytest.raises(NomadError, match=f"executor = '{text}'"):
        find_executor(text)


# The example project


@pytest.mark.system
def test_dg_checks_the_example(tmp_path: Path) -> None:
    done(EXAMPLE, tmp_path, "check", "defs")


@pytest.mark.system
def test_both_grids_of_the_example_are_materialised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    monkeypatch.chdir(EXAMPLE)
    from two_grids.definitions import defs

    loaded = defs()
    cell = dg.MultiPartitionKey({"train_size": "8", "arm": "unmasked"})
    with dg.DagsterInstance.ephemeral() as instance:
        seeds = loaded.resolve_implicit_global_asset_job_def()
        made = seeds.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("raw_seeds")])
        assert made.success
        for grid in ("every_row", "middle_band"):
            for stage, key in {"inputs": None, "controls": "8", "grid": cell, "report": None}.items():
                job = loaded.resolve_job_def(f"{grid}_{stage}")
                assert job.execute_in_process(instance=instance, partition_key=key).success
            report = instance.get_latest_materialization_event(dg.AssetKey([grid, "recipe_report"]))
            assert f"profile {grid}" in report.asset_materialization.metadata["report"].value
    for name in [name for name in sys.modules if name.split(".")[0] == "two_grids"]:
        del sys.modules[name]
