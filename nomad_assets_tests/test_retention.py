"""Pruning: superseded versions go, the current one, what is read and what would be continued stay, lineage answers."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.history import History
from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.errors import NomadError
from nomad_assets.lineage import sync as lineage
from nomad_assets.lineage.tables import TABLES
from nomad_assets.lineage.trace import trace
from nomad_assets.profile.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.retention import QUOTING, prune
from nomad_assets.steps import STEPS, input_digest, settings_of
from nomad_assets.storage import PRUNED, STAGING, Store
from nomad_assets_tests.conftest import lineage_contents

SMOKE = load_profile("smoke")


@pytest.fixture
def history(store: Store) -> History:
    """Three generations."""
    made = History(store, [2, 4], ["a", "b"], rows=12, seeds=6)
    for _ in range(3):
        made.generation()
    return made


def contents(store: Store) -> dict[str, list[tuple]]:
    lineage.sync(store)
    return lineage_contents(store)


def files(store: Store) -> set[str]:
    return {
        p.relative_to(store.root).as_posix() for p in store.root.rglob("*") if p.is_file() and "lineage" not in p.name
    }


def test_the_current_version_stays_and_lineage_answers_for_the_others(history: History, store: Store) -> None:
    before = contents(store)
    versions = len(before["artifacts"])
    removed = prune(store, SMOKE)
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
    answers = history.curated("2/a", history.seed_ids[:2]).with_columns(evidence=secret)
    history.publish("curated_corpus", Cell(2, "a"), {}, {"curated.parquet": answers})
    history.publish("curated_corpus", Cell(2, "a"), {}, {"curated.parquet": answers})
    prune(store, SMOKE)
    kept = [pl.read_parquet(p) for p in (store.root / PRUNED).rglob("*.parquet")]
    texts = {text for table in kept for column in table.select(pl.col(pl.String)) for text in column.drop_nulls()}
    assert not any("apples that Tom bought" in text or "What is" in text for text in texts)
    quoting = [table.filter(pl.col("reason").is_in(QUOTING)) for table in kept if "evidence" in table.columns]
    assert sum(table.height for table in quoting) > 0
    assert all(table["evidence"].null_count() == table.height for table in quoting)
    assert "the whole answer, folded" in texts, "of the reasons that name a twin or a bound it is kept"
    old = next(row for row in contents(store)["artifacts"] if row[1] == "curated_corpus" and row[6])[0]
    with lineage.reading(store) as connection:
        row = trace(connection, store, f"{old}#000003-0")["row"]
    assert row["verdict"] == "kept" and "prompt" not in row


@pytest.mark.parametrize(("keep", "left"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_keep(history: History, store: Store, keep: int, left: int) -> None:
    prune(store, SMOKE, keep=keep)
    assert len(store.versions("teacher_model", Cell(2, "a"))) == left
    assert store.current("teacher_model", Cell(2, "a")).manifest.version == 3
    assert prune(store, SMOKE, keep=keep) == []


def test_a_dry_run_changes_nothing_and_says_the_same(history: History, store: Store) -> None:
    lineage.sync(store)
    before = files(store)
    planned = prune(store, SMOKE, dry_run=True)
    assert files(store) == before
    assert [(x.path, x.what, x.size) for x in planned] == [(x.path, x.what, x.size) for x in prune(store, SMOKE)]


def test_the_next_version_goes_on_counting(history: History, store: Store) -> None:
    prune(store, SMOKE)
    history.generation()
    assert store.require("teacher_model", Cell(2, "a")).manifest.version == 4
    prune(store, SMOKE)
    shutil.rmtree(store.require("teacher_model", Cell(2, "a")).path)  # as the error of an unreadable manifest advises
    history.publish("teacher_model", Cell(2, "a"), {}, {})
    assert store.require("teacher_model", Cell(2, "a")).manifest.version == 4, "never the number of a pruned one"


@pytest.mark.parametrize("manifest", [None, "{}"], ids=["no manifest", "unreadable"])
def test_while_the_newest_version_is_broken_the_one_before_stays(
    history: History, store: Store, manifest: str | None
) -> None:
    newest = store.require("teacher_model", Cell(2, "a")).path
    (newest / "manifest.json").unlink()
    if manifest:
        (newest / "manifest.json").write_text(manifest)
    prune(store, SMOKE)
    assert (newest.parent / "v000002/manifest.json").is_file()


READ = """
import sys, time
from pathlib import Path
from nomad_assets.cells import Cell
from nomad_assets.storage import Store
store = Store(Path(sys.argv[1]))
with store.reading([store.versions("teacher_model", Cell(2, "a"))[0]]):
    print("reading", flush=True)
    time.sleep(60)
"""


def test_a_version_that_a_step_reads_stays(history: History, store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", READ, str(store.root)], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "reading\n"
        prune(store, SMOKE)
        assert [a.manifest.version for a in store.versions("teacher_model", Cell(2, "a"))] == [1, 3]
        reader.kill()
    prune(store, SMOKE)
    assert [a.manifest.version for a in store.versions("teacher_model", Cell(2, "a"))] == [3]


def test_reading_what_was_pruned_is_an_error(history: History, store: Store) -> None:
    old = store.versions("teacher_model", Cell(2, "a"))[0]
    prune(store, SMOKE)
    with (
        pytest.raises(NomadError, match=r"teacher_model/2/a/\w+ was removed before it could be read"),
        store.reading([old]),
    ):
        pass


def stage(store: Store, asset: str, cell: Cell, input_digest: str) -> Path:
    with store.staging(asset, cell, input_digest) as folder:
        (folder / "half").write_bytes(b"x" * 1000)
    return folder


def test_staging_leftovers_go_unless_a_run_would_continue_them(store: Store) -> None:
    step, grid = STEPS["seed_examples"], Grid(SMOKE)
    wanted = input_digest(step, Cell(), settings_of(step, SMOKE, grid, Cell(), store), {})
    kept = stage(store, "seed_examples", Cell(), wanted)
    gone = stage(store, "teacher_model", Cell(8, "masked"), "d" * 64)
    assert [(x.path, x.what, x.size) for x in prune(store, SMOKE)] == [(gone, "staging leftover", 1000)]
    assert kept.is_dir() and not gone.exists()


def test_staging_that_a_step_works_in_stays(store: Store) -> None:
    with store.staging("teacher_model", Cell(8, "masked"), "d" * 64) as folder:
        assert prune(store, SMOKE) == [] and folder.is_dir()


def test_prune_beside_a_step_that_writes_and_an_arm_that_is_called_lock(store: Store) -> None:
    """A step's files come and go while the store is looked through."""
    (gone := stage(store, "teacher_model", Cell(8, "lock"), "d" * 64))
    done = threading.Event()

    def work(folder: Path) -> None:
        while not done.is_set():
            (folder / "scratch/partial/deep").mkdir(parents=True)
            (folder / "scratch").rename(folder / "other")
            shutil.rmtree(folder / "other")

    with store.staging("teacher_model", Cell(8, "masked"), "d" * 64) as folder:
        step = threading.Thread(target=work, args=(folder,))
        step.start()
        try:
            found = [leftover.path for _ in range(100) for leftover in prune(store, SMOKE)]
        finally:
            done.set()
            step.join()
        assert found == [gone] and folder.is_dir()


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
            prune(store, SMOKE)
        assert len(contents(store)["examples"]) == len(whole["examples"])
    monkeypatch.undo()
    prune(store, SMOKE)
    assert {name: len(rows) for name, rows in contents(store).items()} == {n: len(rows) for n, rows in whole.items()}
    assert not list((store.root / STAGING).rglob("manifest.json"))
    assert not list((store.root / PRUNED).rglob("*.partial"))


def test_the_command(history: History, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path))
    store.root.rename(tmp_path / "smoke")
    run = CliRunner()
    listed = run.invoke(app, ["prune", "-p", "smoke", "--dry-run"])
    assert listed.exit_code == 0 and "would be removed" in listed.stderr
    done = run.invoke(app, ["prune", "-p", "smoke"])
    assert done.exit_code == 0 and done.stdout == listed.stdout and "teacher_model/2/a/v000001" in done.stdout
    refused = run.invoke(app, ["prune", "-p", "smoke", "--keep", "0"])
    assert refused.exit_code == 2 and "at least 1" in refused.stderr
