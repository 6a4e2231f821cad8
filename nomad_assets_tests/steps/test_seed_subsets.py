"""What of the pool a subset depends on, and what a withdrawal does to both."""

from dataclasses import dataclass

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.plan import plan, serves
from nomad_assets.grid import Grid
from nomad_assets.steps import GRAPH
from nomad_assets.steps.seeds import SeedExamples, SeedSubset
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact
from nomad_assets_tests.steps.profile_files import ProfileFiles

EIGHT = [f"p{n}" for n in range(8)]
POOL, SUBSET = ("seed_examples", Cell()), ("seed_subset", Cell(8))


def pool_of(*prompts: str, moved: int = 0) -> pl.DataFrame:
    rows = [(prompt, n, prompt, "r", "s", n + moved) for n, prompt in enumerate(prompts)]
    return pl.DataFrame(rows, schema=["id", "position", "prompt", "response", "source", "source_row"], orient="row")


@dataclass
class Seeds:
    """A store whose pool and subset are written by hand, as a run of the grid would publish them."""

    grid: Grid
    store: LocalStore

    def publish(self, place: tuple[str, Cell], table: pl.DataFrame) -> Artifact:
        name, cell = place
        step, now = GRAPH[name], plan(GRAPH[name], cell, self.grid, self.store)
        with self.store.staging(name, cell, now.wanted.digest) as stage:
            table.write_parquet(stage.folder / step.file_of(step.main))
            return self.store.publish(
                stage, name, cell, now.withdrawals, fingerprint=now.wanted.digest, settings=now.wanted.settings,
                reads=now.wanted.reads, parents=now.wanted.parents, code_version=step.version, run_id="", started=0.0, ended=0.0,
            )  # fmt: skip

    def is_current(self, place: tuple[str, Cell]) -> bool:
        name, cell = place
        now = plan(GRAPH[name], cell, self.grid, self.store)
        return serves(self.store.current(name, cell), now.wanted, now.withdrawals)


@pytest.fixture
def seeds(files: ProfileFiles, store: LocalStore) -> Seeds:
    return Seeds(files.grid(), store)


def test_a_pool_and_a_subset_are_current_once_they_are_made(seeds: Seeds) -> None:
    assert not seeds.is_current(POOL)
    seeds.publish(POOL, pool_of(*EIGHT, "p8"))
    assert seeds.is_current(POOL) and not seeds.is_current(SUBSET)
    seeds.publish(SUBSET, pool_of(*EIGHT))
    assert seeds.is_current(SUBSET)


@pytest.mark.parametrize(
    ("pool", "current"),
    [
        (pool_of(*EIGHT, "p8", moved=1), True),  # rows that stand elsewhere in their source are the same rows
        (pool_of(*EIGHT, "other"), True),  # behind the head
        (pool_of(*EIGHT), True),
        (pool_of("other", *EIGHT), False),
        (pool_of(*reversed(EIGHT)), False),
    ],
)
def test_a_subset_depends_on_the_head_of_the_pool(seeds: Seeds, pool: pl.DataFrame, current: bool) -> None:
    seeds.publish(POOL, pool_of(*EIGHT, "p8"))
    seeds.publish(SUBSET, pool_of(*EIGHT))
    seeds.publish(POOL, pool)
    assert seeds.is_current(SUBSET) is current


def test_a_withdrawn_row_makes_the_pool_and_what_it_reached_out_of_date(seeds: Seeds) -> None:
    pool, subset = seeds.publish(POOL, pool_of(*EIGHT, "p8")), seeds.publish(SUBSET, pool_of(*EIGHT))
    row = {"p8": {"source": "s", "key": ""}}
    seeds.store.withdraw({"time": 1.0, "reason": "", "rows": row, "artifacts": [pool.manifest.artifact_id]})
    assert not seeds.is_current(POOL)
    seeds.publish(POOL, pool_of(*EIGHT))
    assert seeds.is_current(POOL) and seeds.is_current(SUBSET), "the row lay behind its head"
    seeds.store.withdraw({"time": 2.0, "reason": "", "rows": {}, "artifacts": [subset.manifest.artifact_id]})
    assert seeds.is_current(POOL) and not seeds.is_current(SUBSET)


def test_where_a_row_stood_is_known_to_the_pool_alone() -> None:
    assert set(SeedExamples.to_schema().columns) - set(SeedSubset.to_schema().columns) == {"source_row", "source_id"}
