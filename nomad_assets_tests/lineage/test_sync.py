"""Manifests into DuckDB: incremental, from nothing, beside other processes, and over a file that is broken."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import duckdb
import pytest

from benchmarks.history import CURATED, History
from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Attempt, Audience, Run
from nomad_assets.errors import NomadError
from nomad_assets.lineage import load
from nomad_assets.lineage import sync as lineage
from nomad_assets.lineage.listener import LineageListener
from nomad_assets.lineage.tables import TABLES
from nomad_assets.steps import GRAPH
from nomad_assets.store.layout import MANIFEST
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.contents import ARTIFACTS
from nomad_assets_tests.lineage.contents import lineage_contents as contents


def test_a_sync_reads_what_is_new_and_nothing_else(history: History, store: Store) -> None:
    assert lineage.sync(store) == ARTIFACTS
    assert lineage.sync(store) == 0
    history.publish("base_model", Cell(), {}, {})
    assert lineage.sync(store) == 1
    found = contents(store)
    assert {name: len(rows) for name, rows in found.items()} == {
        "artifacts": ARTIFACTS + 1, "edges": 1 + 2 * (1 + 2 + 2) + 4 * (2 + 1 + 4 + 1 + 3 + 2),
        "files": 2 + 2 + 2 + 4 + 4 + (2 + 4 + 4), "metrics": 0, "examples": 4 * 12, "scores": 2 * (1 + 2 + 4), "seeds": 6, "withdrawals": 0,
        "subset_seeds": 2 + 4, "trained_rows": (2 + 4) + 2 * (2 + 4) + 2 * (2 + 4 + 2 * 4),  # controls, teachers, students
    }  # fmt: skip


def test_from_nothing_gives_the_same_content(history: History, store: Store) -> None:
    lineage.sync(store)
    history.generation()
    lineage.sync(store)
    store.withdraw(
        {"time": 1.5, "reason": "asked", "rows": {history.seed_ids[0]: {"source": "s", "key": ""}}, "artifacts": []}
    )
    lineage.sync(store)
    before = contents(store)
    assert lineage.rebuild(store) == 2 * ARTIFACTS
    assert contents(store) == before
    store.database.unlink()
    lineage.sync(store)
    assert contents(store) == before


def test_every_column_is_filled_as_the_manifest_says(history: History, store: Store) -> None:
    lineage.sync(store)
    teacher = store.require("teacher_model", Cell(4, "b")).manifest
    with lineage.reading(store) as connection:
        names = list(TABLES["artifacts"][1])
        row = connection.execute("FROM artifacts WHERE artifact_id = ?", [teacher.artifact_id]).fetchone()
        found = dict(zip(names, row, strict=True))
        example = connection.execute(
            "SELECT teacher_id, corpus_id, id, verdict, nearest_seed FROM examples WHERE id = '4/b/000003-0'"
        ).fetchone()
        edges = connection.execute(
            "SELECT parent_id, read_digest FROM edges WHERE child_id = ?", [teacher.artifact_id]
        ).fetchall()
    assert (found["asset"], found["partition"], found["train_size"], found["arm"]) == ("teacher_model", "4/b", 4, "b")
    assert found["folder"] == "teacher_model/4/b/v000001" and not found["pruned"]
    assert found["started"] == datetime.fromtimestamp(teacher.started, UTC).replace(tzinfo=None)
    assert found["content_digest"] == teacher.content_digest and found["tokens"] == 100_000
    assert {(teacher.parents[place], digest) for place, digest in teacher.reads.items()} == set(edges)
    assert found["fingerprint"] == teacher.fingerprint and json.loads(found["settings"]) == teacher.settings
    corpus = store.require("synthetic_corpus", Cell(4, "b")).manifest.artifact_id
    assert example == (teacher.artifact_id, corpus, "4/b/000003-0", "kept", history.seed_ids[history.order[3]])


def test_a_version_deleted_or_replaced_by_hand_is_forgotten(history: History, store: Store) -> None:
    lineage.sync(store)
    gone = store.require("curated_corpus", Cell(2, "a"))
    shutil.rmtree(gone.path)
    lineage.sync(store)
    with lineage.reading(store) as connection:
        assert connection.execute("SELECT count(*) FROM examples WHERE id LIKE '2/a/%'").fetchone() == (0,)
    history.publish("curated_corpus", Cell(2, "a"), {}, {CURATED: history.curated("2/a", ["x"])})
    lineage.sync(store)
    incremental = contents(store)
    assert len(incremental["examples"]) == 4 * 12
    lineage.rebuild(store)
    assert contents(store) == incremental


HOLD = """import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "True")
print('held', flush=True)
time.sleep(60)"""


@pytest.mark.parametrize("read_only", [False, True])
def test_beside_another_process_steps_and_readers_go_on(history: History, store: Store, read_only: bool) -> None:
    """Such as a notebook that has the file open: a reader sees what the store holds, not what the file held."""
    lineage.sync(store)
    command = [sys.executable, "-c", HOLD, str(store.database), str(read_only)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        history.publish("base_model", Cell(), {}, {})
        lineage.sync_if_free(store)
        with pytest.raises(NomadError, match=r"lineage\.duckdb is in use by another process"):
            lineage.sync(store, wait=0.2)
        with lineage.reading(store, wait=0.2) as connection:
            assert connection.execute("SELECT count(*) FROM artifacts").fetchone() == (ARTIFACTS + 1,)
        holder.kill()
    assert lineage.sync(store) == 1


def test_a_disk_that_is_full_gives_up_no_table(history: History, store: Store, monkeypatch) -> None:
    def full(*_, tables: bool = True) -> None:
        assert tables, "the manifest alone would count as read"
        raise duckdb.IOException("Could not write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(load, "_load", full)
        with pytest.raises(NomadError, match="could not be brought up to date"):
            lineage.sync(store)
    assert lineage.sync(store) == ARTIFACTS and len(contents(store)["examples"]) == 4 * 12


@pytest.mark.parametrize("broken", [b"not a database", b""], ids=["garbage", "empty"])
def test_a_file_that_cannot_be_read_is_built_anew(history: History, store: Store, broken: bytes) -> None:
    lineage.sync(store)
    before = contents(store)
    store.database.write_bytes(broken)
    lineage.sync(store)
    assert contents(store) == before


def test_a_file_of_another_version_is_built_anew(history: History, store: Store) -> None:
    lineage.sync(store)
    before = contents(store)
    with closing(duckdb.connect(str(store.database))) as connection:
        connection.execute("UPDATE about SET version = 0; DELETE FROM edges")
    lineage.sync(store)
    assert contents(store) == before


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1 no")], ids=["missing", "damaged"]
)
def test_a_table_that_cannot_be_read_is_left_to_the_checks(history: History, store: Store, damage) -> None:
    damage(store.require("curated_corpus", Cell(2, "a")) / CURATED)
    assert lineage.sync(store) == ARTIFACTS
    found = contents(store)
    assert len(found["examples"]) == 3 * 12 and len(found["artifacts"]) == ARTIFACTS
    assert lineage.rebuild(store) == ARTIFACTS and contents(store) == found


def test_there_is_nothing_to_ask_before_there_is_a_store(tmp_path) -> None:
    with pytest.raises(NomadError, match="there is no store here yet"), lineage.reading(LocalStore(tmp_path / "none")):
        pass
    assert not (tmp_path / "none").exists()


ATTEMPT = Attempt(GRAPH["base_model"], Cell(), Run("run", "job"))


def test_a_listener_reads_what_was_made(history: History, store: Store) -> None:
    lineage.sync(store)
    made = history.publish("base_model", Cell(), {}, {})
    Audience([LineageListener(store)]).tell("made", ATTEMPT, made, {})
    assert made.manifest.artifact_id in {row[0] for row in contents(store)["artifacts"]}
    assert lineage.sync(store) == 0


def test_a_listener_that_cannot_write_touches_no_step(history: History, store: Store, monkeypatch) -> None:
    lineage.sync(store)
    made = history.publish("base_model", Cell(), {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(
            load, "_load", lambda *_, **__: (_ for _ in ()).throw(duckdb.IOException("No space left on device"))
        )
        Audience([LineageListener(store)]).tell("made", ATTEMPT, made, {})
    assert made.manifest.artifact_id not in {row[0] for row in contents(store)["artifacts"]}
    assert lineage.sync(store) == 1


def test_a_store_of_the_version_before_is_refused(history: History, store: Store) -> None:
    manifest = store.require("teacher_model", Cell(2, "a")) / MANIFEST
    manifest.write_text(json.dumps({"asset": "teacher_model", "partition": "2/a", "input_digest": "d"}), "utf-8")
    with pytest.raises(
        NomadError, match=r"was written by another version of nomad-assets \(format 1, this version reads 2\)"
    ):
        lineage.sync(store)
