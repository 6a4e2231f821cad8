"""What the asset `lineage_db` shows, and its check."""

import shutil

import polars as pl

from benchmarks.history import History
from nomad_assets.lineage.summary import every_parent_is_known, summary
from nomad_assets.steps import GRAPH
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.contents import ARTIFACTS


def test_the_summary_counts_what_there_is(history: History, store: Store) -> None:
    history.generation()
    found = summary(store)
    assert found.table.columns == ["asset", "partitions", "versions", "pruned", "rows", "tokens", "minutes", "mib"]
    teachers = found.table.row(by_predicate=pl.col("asset") == "teacher_model", named=True)
    assert teachers == {
        "asset": "teacher_model", "partitions": 4, "versions": 8, "pruned": 0, "rows": 2 * 2 * (2 + 4), "tokens": 800_000, "minutes": 0.1,
        "mib": 0.0,
    }  # fmt: skip
    assert found.table["asset"][0] == "seed_examples", "the first that was made"
    usual = [step for step in GRAPH.values() if not step.asked]
    assert found.table.height == len(usual) - 1, "every asset but the report, which was not made"
    assert found.counts == {
        "artifacts": 2 * ARTIFACTS, "edges": 2 * 63, "examples": 2 * 48, "scores": 2 * 14, "withdrawn_seed_rows": 0,
    }  # fmt: skip
    assert found.artifacts == sorted(found.artifacts) and len(set(found.artifacts)) == 2 * ARTIFACTS


def test_a_parent_that_is_not_in_the_store_is_named(history: History, store: Store) -> None:
    finding = every_parent_is_known(store)
    assert finding.passed and finding.text == f"{ARTIFACTS} artifacts, every parent known"
    shutil.rmtree(history.base.path)
    finding = every_parent_is_known(store)
    gone = history.base.manifest.artifact_id
    assert not finding.passed
    assert finding.text.endswith(f" was made from {gone}, which is not here")
    children = [row["artifact"] for row in finding.rows if row["missing_parent"] == gone]
    assert len(children) == len(finding.rows) == 1 + 2 + 4 + 4 and finding.numbers == {"artifacts": ARTIFACTS - 1}


def test_a_store_with_nothing_in_it(store: LocalStore) -> None:
    store.root.mkdir()
    found = summary(store)
    assert found.table.height == 0 and set(found.counts.values()) == {0} and found.artifacts == []
    assert every_parent_is_known(store).passed
