"""Pruning: superseded versions go, the current one, what is read and what would be continued stay, lineage answers."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from benchmarks.history import CURATED, History
from nomad_assets.cells import Cell
from nomad_assets.engine.plan import plan
from nomad_assets.errors import NomadError
from nomad_assets.lineage import sync as lineage
from nomad_assets.lineage.questions import ask
from nomad_assets.lineage.retention import OUTSIDE, prune
from nomad_assets.lineage.tables import NAMING, TABLES, TAKEN
from nomad_assets.lineage.trace import trace
from nomad_assets.steps import GRAPH
from nomad_assets.store.layout import PRUNED, STAGING
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.contents import lineage_contents, simulated
from nomad_assets_tests.lineage.grids import grid_of

QUOTING = ("minority_answer", "low_agreement", "wrong_arithmetic")  # their evidence repeats what the row says
GRID = grid_of([2, 4], ["a", "b"])
SMALLER = grid_of([2], ["b"])


@pytest.fixture
def history(store: Store) -> History:
    """Three generations."""
    return simulated(store, generations=3)


def contents(store: Store) -> dict[str, list[tuple]]:
    lineage.sync(store)
    return lineage_contents(store)


def files(store: LocalStore) -> set[str]:
    return {
        p.relative_to(store.root).as_posix() for p in store.root.rglob("*") if p.is_file() and "lineage" not in p.name
    }


def recorded(store: Store) -> list[pl.DataFrame]:
    """Every table that was kept of a pruned version."""
    keys, names = store.listing(pruned=True), {name for taken in TAKEN.values() for name in taken.files.values()}
    found = [store.file(key, name, pruned=True) for key in keys for name in names]
    return [pl.read_parquet(path) for path in found if path is not None]


def test_the_current_version_stays_and_lineage_answers_for_the_others(history: History, store: Store) -> None:
    before = contents(store)
    versions = len(before["artifacts"])
    removed = prune(GRID, store)
    assert len(removed) == versions * 2 // 3
    assert {folder.rsplit("/", 1)[1] for folder in store.listing()} == {"v000003"}
    after = contents(store)
    place = list(TABLES["artifacts"][1]).index("pruned")
    assert sorted((*row[:place], *row[place + 1 :]) for row in before["artifacts"]) == sorted(
        (*row[:place], *row[place + 1 :]) for row in after["artifacts"]
    )
    assert sum(row[place] for row in after["artifacts"]) == len(removed)
    assert {name: rows for name, rows in after.items() if name != "artifacts"} == {
        name: rows for name, rows in before.items() if name != "artifacts"
    }
    lineage.rebuild(store)
    assert contents(store) == after, "the records of pruned versions are all that a rebuild needs"


def test_what_is_kept_of_a_pruned_version_holds_no_text(history: History, store: Store) -> None:
    secret = pl.lit("the whole answer, folded")
    reasons = pl.Series([*QUOTING, "filter.mine", *NAMING])
    answers = history.curated("2/a", history.seed_ids[:2]).with_columns(evidence=secret, reason=reasons)
    history.publish("curated_corpus", Cell(2, "a"), {}, {CURATED: answers})
    history.publish("curated_corpus", Cell(2, "a"), {}, {CURATED: answers})
    prune(GRID, store)
    kept = recorded(store)
    texts = {text for table in kept for column in table.select(pl.col(pl.String)) for text in column.drop_nulls()}
    assert not any("apples that Tom bought" in text or "What is" in text for text in texts)
    judged = pl.concat(table for table in kept if "evidence" in table.columns)
    assert set(judged.filter(pl.col("evidence").is_null())["reason"]) >= {*QUOTING, "filter.mine"}
    assert set(judged.filter(pl.col("evidence").is_not_null())["reason"]) == set(NAMING)
    assert "the whole answer, folded" in texts, "of the reasons that name a twin or a bound it is kept"
    rows = [dict(zip(TABLES["artifacts"][1], row, strict=True)) for row in contents(store)["artifacts"]]
    old = next(row["artifact_id"] for row in rows if row["asset"] == "curated_corpus" and row["pruned"])
    with lineage.reading(store) as connection:
        row = trace(connection, store, f"{old}#000003-0")["row"]
    assert row["verdict"] == "kept" and "prompt" not in row


@pytest.mark.parametrize(("keep", "left"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_keep(history: History, store: Store, keep: int, left: int) -> None:
    prune(GRID, store, keep=keep)
    assert len(store.versions("teacher_model", Cell(2, "a"))) == left
    assert store.current("teacher_model", Cell(2, "a")).manifest.version == 3
    assert prune(GRID, store, keep=keep) == []


def test_a_dry_run_changes_nothing_and_says_the_same(history: History, store: Store) -> None:
    lineage.sync(store)
    before = files(store)
    planned = prune(GRID, store, dry_run=True)
    assert files(store) == before
    assert planned == prune(GRID, store)


def test_the_next_version_goes_on_counting(history: History, store: Store) -> None:
    prune(GRID, store)
    history.generation()
    assert store.require("teacher_model", Cell(2, "a")).manifest.version == 4
    prune(GRID, store)
    shutil.rmtree(store.require("teacher_model", Cell(2, "a")).path)  # as the error of an unreadable manifest advises
    history.publish("teacher_model", Cell(2, "a"), {}, {})
    assert store.require("teacher_model", Cell(2, "a")).manifest.version == 4, "never the number of a pruned one"


def stage(store: LocalStore, asset: str, cell: Cell, fingerprint: str) -> Path:
    with store.staging(asset, cell, fingerprint) as stage:
        (stage.folder / "half").write_bytes(b"x" * 1000)
    return stage.folder


def test_staging_leftovers_go_unless_a_run_would_continue_them(store: LocalStore) -> None:
    kept = stage(store, "seed_examples", Cell(), plan(GRAPH["seed_examples"], Cell(), GRID, store).wanted.digest)
    gone = stage(store, "teacher_model", Cell(2, "a"), "d" * 64)
    (found,) = prune(GRID, store)
    assert (found.place, found.what, found.size) == (str(gone.relative_to(store.root)), "staging leftover", 1000)
    assert kept.is_dir() and not gone.exists()


def test_the_stage_of_what_is_published_already_goes(history: History, store: LocalStore) -> None:
    """As after a run with --force that died."""
    wanted = plan(GRAPH["seed_examples"], Cell(), GRID, store).wanted.digest
    with store.staging("seed_examples", Cell(), wanted) as made:
        record = {
            "settings": {},
            "reads": {},
            "parents": {},
            "code_version": "1",
            "run_id": "",
            "started": 0.0,
            "ended": 0.0,
        }
        store.publish(made, "seed_examples", Cell(), fingerprint=wanted, **record)
    again = stage(store, "seed_examples", Cell(), wanted)
    prune(GRID, store)
    assert not again.exists()


def test_places_outside_the_grid_are_listed_and_stay(history: History, store: LocalStore) -> None:
    """The grid lost size 4 and arm a: what it has no place for is pointed out, and its old versions go as all do."""
    found = prune(SMALLER, store)
    stays = [leftover for leftover in found if not leftover.removed]
    assert {leftover.what for leftover in stays} == {OUTSIDE}
    assert len(stays) == 3 + 3 * 6 and {leftover.place.rsplit("/", 1)[1] for leftover in stays} == {"v000003"}
    assert all("/4/" in leftover.place or "/2/a/" in leftover.place for leftover in stays)
    assert store.current("teacher_model", Cell(4, "a")).manifest.version == 3
    assert len(found) - len(stays) == 2 * (4 + 2 * 3 + 4 * 6), "superseded versions inside and outside"
    assert prune(SMALLER, store) == stays


def test_places_outside_the_grid_are_removed_when_asked_and_lineage_answers(
    history: History, store: LocalStore
) -> None:
    before = contents(store)
    planned = prune(SMALLER, store, dry_run=True, outside=True)
    assert len({leftover.place for leftover in planned}) == len(planned)
    removed = prune(SMALLER, store, outside=True)
    assert removed == planned and all(leftover.removed for leftover in removed)
    assert {leftover.what for leftover in removed} == {OUTSIDE, "superseded version"}
    assert len(removed) == 3 * (3 + 3 * 6) + 2 * (4 + 3 + 6)
    assert {(a, c.label) for a, c in store.places() if a in ("teacher_model", "seed_subset")} == {
        ("teacher_model", "2/b"), ("seed_subset", "2"),
    }  # fmt: skip
    after = contents(store)
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    assert after["examples"] == before["examples"]
    current = ask(store, "SELECT DISTINCT \"partition\" FROM current_artifacts WHERE asset = 'teacher_model'")
    assert current.rows() == [("2/b",)], "what is on no disk is current nowhere"
    assert ask(store, "FROM missing_parents").height == 0
    assert prune(SMALLER, store, outside=True) == []


def test_a_dry_run_lists_old_versions_outside_the_grid_once(history: History, store: LocalStore) -> None:
    planned = prune(SMALLER, store, dry_run=True)
    assert planned == prune(SMALLER, store)


def test_a_version_outside_the_grid_that_a_step_reads_stays(history: History, store: LocalStore) -> None:
    current = store.require("teacher_model", Cell(4, "a"))
    with store.reading([current]):
        prune(SMALLER, store, outside=True)
    assert store.current("teacher_model", Cell(4, "a")) == current


def test_folders_of_somebody_elses_are_left_alone(history: History, store: LocalStore) -> None:
    """Such as a copy that was made by hand."""
    for name in ("my copy/v000001", "backup/teacher_model/2/a/v000001", "teacher_model/02/a/v000001"):
        (store.root / name).mkdir(parents=True)
        (store.root / name / "manifest.json").write_text("{}")
    prune(SMALLER, store, outside=True)
    assert all((store.root / name).is_dir() for name in ("my copy/v000001", "backup/teacher_model/2/a/v000001"))


def test_a_store_of_the_version_before_is_refused_before_anything_is_removed(store: LocalStore) -> None:
    left = stage(store, "teacher_model", Cell(2, "a"), "d" * 64)
    old = store.root / "seed_examples/v000001"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text('{"asset": "seed_examples", "partition": "-", "input_digest": "d"}')
    with pytest.raises(NomadError, match="was written by another version of nomad-assets"):
        prune(GRID, store)
    assert left.is_dir() and old.is_dir()


@pytest.mark.parametrize("keep", [0, -1])
def test_the_current_version_is_never_removed(history: History, store: LocalStore, keep: int) -> None:
    with pytest.raises(NomadError, match=rf"--keep {keep}: at least 1; the current version is never removed"):
        prune(GRID, store, keep=keep)


def test_a_prune_that_died_in_the_middle_is_finished_by_the_next(
    history: History, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(store)
    calls = 0
    rename = os.rename

    def die(*arguments) -> None:
        nonlocal calls
        calls += 1
        if calls in (2, 3):  # the record is written, the version is still there; then the next record
            raise KeyboardInterrupt
        rename(*arguments)

    monkeypatch.setattr(os, "rename", die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prune(GRID, store)
        assert len(contents(store)["examples"]) == len(whole["examples"])
    monkeypatch.undo()
    prune(GRID, store)
    assert {name: len(rows) for name, rows in contents(store).items()} == {n: len(rows) for n, rows in whole.items()}
    assert not list((store.root / STAGING).rglob("manifest.json"))
    assert not list((store.root / PRUNED).rglob("*.partial"))
