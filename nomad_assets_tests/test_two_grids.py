"""Several grids in one code location, beside jobs of the user's own, and seeds from an asset of the user's own."""

import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import nomad_assets as na
from nomad_assets.cells import Cell
from nomad_assets.definitions import build_definitions, work_of
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
from nomad_assets.store.home import store_of
from nomad_assets.wiring.names import Names
from nomad_assets_tests.smoke_grid import SHORT, write_profile

ROWS = pl.DataFrame(
    [{"question": f"What is {n} + {m}?", "answer": f"{n} + {m} = {n + m}\n#### {n + m}"} for n in range(6) for m in range(4)]
)  # fmt: skip


def named(folder: Path, name: str, **changes: str) -> Path:
    """The smoke profile under another name."""
    (folder / name).mkdir()
    return write_profile(folder / name, seed=f'name = "{name}"\nseed = 7', **SHORT, **changes)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


# Beside each other


@pytest.fixture
def merged(tmp_path: Path) -> dg.Definitions:
    """Two grids with other executors, and jobs of a user who had these names first."""

    def own_job(name: str) -> dg.JobDefinition:
        @dg.op(name=f"{name}_op")
        def nothing() -> None: ...

        @dg.job(name=name)
        def own() -> None:
            nothing()

        return own

    user = dg.Definitions(
        jobs=[own_job(name) for name in ("report", "inputs", "grid", "checks")],
        executor=dg.multi_or_in_process_executor,
    )
    first = build_definitions(named(tmp_path, "first"), executor=dg.multiprocess_executor)
    return dg.Definitions.merge(user, first, build_definitions(named(tmp_path, "second")))


def test_two_grids_and_a_users_own_jobs_share_no_name(merged: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(merged)
    repository = merged.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert {"report", "first_report", "second_report", "checks", "first_checks", "second_checks"} <= jobs
    prefixes = {key.path[0] for key in merged.resolve_asset_graph().get_all_asset_keys()}
    assert prefixes == {"first", "second"}
    for kind in (repository.sensor_defs, repository.schedule_defs):
        of_first, of_second = (
            {one.name.removeprefix(prefix) for one in kind if one.name.startswith(prefix)} for prefix in ("first_", "second_")
        )  # fmt: skip
        assert of_first == of_second != set()


def test_both_grids_wait_for_one_accelerator(merged: dg.Definitions) -> None:
    for prefix in ("first", "second"):
        job = merged.resolve_job_def(f"{prefix}_grid")
        assert {node.definition.pool for node in job.graph.nodes} == {None, "accelerator"}


def test_each_grid_runs_in_its_own_store(merged: dg.Definitions, instance: dg.DagsterInstance) -> None:
    for name in ("first", "second"):
        job = merged.resolve_job_def(f"{name}_inputs")
        pool = dg.AssetKey([name, "seed_examples"])
        assert job.execute_in_process(instance=instance, asset_selection=[pool]).success
    stored = [store_of(name).require("seed_examples", Cell()) for name in ("first", "second")]
    assert stored[0].path != stored[1].path
    assert stored[0].manifest.content_digest == stored[1].manifest.content_digest


@pytest.mark.parametrize("prefix", ["", "team/", "my grid", [], ["a-b"]])
def test_a_prefix_that_names_no_job_is_refused(prefix: str | list[str]) -> None:
    with pytest.raises(NomadError, match=r"key_prefix = .*: use letters, digits and '_'"):
        Names.of("own", prefix)


def test_prefixes_that_differ_in_a_slash_give_other_names() -> None:
    assert Names.of("own", "a/b").of_grid("report") != Names.of("own", "a_b").of_grid("report")


# Seeds from an asset


class Upstream:
    """A grid whose seeds an asset `team/raw_seeds` yields: what is in `table` when it is materialised."""

    def __init__(self, profile: Path, instance: dg.DagsterInstance):
        @dg.asset(key=["team", "raw_seeds"])
        def raw_seeds() -> object:
            return self.table

        self.table: object = ROWS
        self.profile, self.instance = profile, instance
        user = dg.Definitions(assets=[raw_seeds])
        self.definitions = dg.Definitions.merge(build_definitions(profile, seeds_from="team/raw_seeds"), user)
        self.job = self.definitions.resolve_implicit_global_asset_job_def()

    def make(self, *assets: str) -> dg.ExecuteInProcessResult:
        keys = [dg.AssetKey.from_user_string(text) for text in assets]
        return self.job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)

    def pool(self) -> bool:
        """Make the table and the pool of it; whether the pool that was there could be reused."""
        result = self.make("team/raw_seeds", "own/seed_examples")
        assert result.success
        (event,) = result.asset_materializations_for_node("own__seed_examples")
        return event.metadata["reused"].value

    def failure(self) -> str:
        (event,) = [e for e in self.make("team/raw_seeds", "own/seed_examples").all_node_events if e.is_step_failure]
        return event.step_failure_data.user_failure_data.description


@pytest.fixture
def upstream(tmp_path: Path, instance: dg.DagsterInstance) -> Upstream:
    return Upstream(write_profile(tmp_path), instance)


def prompts(store_name: str = "own") -> set[str]:
    artifact = store_of(store_name).require("seed_examples", Cell())
    return set(artifact.read("seeds.parquet")["prompt"])


def test_the_pool_is_made_of_the_table_that_an_asset_yields(upstream: Upstream) -> None:
    assert not upstream.pool()
    assert prompts() == set(ROWS["question"])


def test_equal_rows_are_reused_and_others_are_not(upstream: Upstream) -> None:
    assert [upstream.pool(), upstream.pool()] == [False, True]
    upstream.table = ROWS.head(20)
    assert not upstream.pool()
    assert prompts() == set(ROWS.head(20)["question"])


@pytest.mark.parametrize(
    "kind", [pl.DataFrame.lazy, pl.DataFrame.to_arrow, pl.DataFrame.to_pandas, pl.DataFrame.to_dicts]
)  # fmt: skip
def test_a_table_of_another_kind_with_the_same_rows_changes_nothing(upstream: Upstream, kind: Callable) -> None:
    upstream.pool()
    upstream.table = kind(ROWS)
    assert upstream.pool()


def test_the_random_base_model_learns_its_tokens_from_the_table(upstream: Upstream) -> None:
    graph = upstream.definitions.resolve_asset_graph()
    children = graph.get(dg.AssetKey(["team", "raw_seeds"])).child_keys
    assert children == {dg.AssetKey(["own", "seed_examples"]), dg.AssetKey(["own", "base_model"])}
    grid = work_of(upstream.profile, seeds_from="team/raw_seeds").grid
    (source,) = grid.graph["base_model"].config.of(grid, Cell(), {}).tokenizer_corpus
    assert source.address == str(store_of("own").handed("team.raw_seeds.jsonl"))


def test_a_new_table_asks_for_a_new_pool(upstream: Upstream) -> None:
    upstream.pool()

    key, cursor, asked = dg.AssetKey(["own", "seed_examples"]), None, []
    for table_is_new in (False, False, True):
        if table_is_new:
            upstream.make("team/raw_seeds")
        found = dg.evaluate_automation_conditions(upstream.definitions, upstream.instance, cursor=cursor)
        cursor = found.cursor
        asked.append(found.get_num_requested(key))
    assert asked == [0, 0, 1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([{"text": "no prompt"}], r"team\.raw_seeds\.jsonl row 1: no recognised format in fields \['text'\]"),
        ([{"prompt": "p", "response": ""}], r"team\.raw_seeds\.jsonl row 1: the response is empty"),
        ([{"prompt": "p", "response": 3}], r"team\.raw_seeds\.jsonl row 1: the response is int, expected text"),
        (ROWS.clear(), "team/raw_seeds yielded a table without rows"),
        ("a string", "team/raw_seeds yielded a str; a seed table is a data frame or a list of dictionaries"),
        ({"2026": ROWS}, "team/raw_seeds yielded a dict; an asset with partitions cannot hand over seeds"),
    ],
)
def test_a_table_that_holds_no_seeds_is_named(upstream: Upstream, table: object, message: str) -> None:
    upstream.table = table
    assert re.search(message, upstream.failure())


def test_a_column_that_json_cannot_hold_is_nothing_to_a_seed(upstream: Upstream) -> None:
    upstream.table = ROWS.with_columns(made=pl.date(2026, 1, 1))
    assert not upstream.pool()


def test_what_runs_without_dagster_reads_the_table_that_was_handed_over(upstream: Upstream) -> None:
    before = na.load(upstream.profile)
    upstream.pool()
    assert before.profile == load_profile(str(upstream.profile))
    grid = na.load(upstream.profile)
    states = dict(grid.status().filter(pl.col("asset") == "seed_examples").select("asset", "state").iter_rows())
    assert states == {"seed_examples": "current"}
    assert grid.run(until="seed_examples", say=None).is_empty()
    assert prompts() == set(ROWS["question"])


def test_a_grid_that_reads_its_own_sources_again_forgets_the_table(upstream: Upstream) -> None:
    upstream.pool()
    alone = build_definitions(upstream.profile).resolve_implicit_global_asset_job_def()
    pool = dg.AssetKey(["own", "seed_examples"])
    assert alone.execute_in_process(instance=upstream.instance, asset_selection=[pool]).success
    assert na.load(upstream.profile).profile == load_profile(str(upstream.profile))
