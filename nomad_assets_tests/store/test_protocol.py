"""What every store promises: whole artifacts or none, versions that never change, readers that nobody disturbs."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets.store.digests import digest
from nomad_assets.store.manifests import FORMAT, Artifact, parse_manifest
from nomad_assets.store.protocol import Store
from nomad_assets_tests.store.backends import (
    ASSET,
    CELL,
    FINGERPRINT,
    OTHER,
    RECORD,
    WITHDRAWAL,
    assert_whole,
    no_record,
    open_store,
    publish,
)

# Publishing


def test_what_a_published_version_is(store: Store) -> None:
    artifact = publish(store, {"a.parquet": b"rows", "model/weights": b"12345"})
    assert_whole(artifact)
    record = artifact.manifest
    assert (record.asset, record.partition, record.version, record.format) == ("teacher_model", "8/unmasked", 1, FORMAT)
    assert record.files["model/weights"] == {
        "bytes": 5, "sha256": "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
    }  # fmt: skip
    assert record.size == 9
    assert record.artifact_id.startswith("teacher_model/8/unmasked/")
    assert len(record.artifact_id.rpartition("/")[2]) == 12
    assert record.content_digest == digest({name: entry["sha256"] for name, entry in record.files.items()})


def test_the_id_of_an_unpartitioned_artifact(store: Store) -> None:
    manifest = publish(store, {"a": b"1"}, cell=Cell()).manifest
    assert manifest.partition == "-" and manifest.artifact_id.count("/") == 1


def test_a_manifest_is_read_as_it_was_written(store: Store) -> None:
    artifact = publish(store, {"a": b"1"})
    assert store.require(ASSET, CELL).manifest == artifact.manifest
    assert parse_manifest(artifact.manifest.text(), "here") == artifact.manifest
    for name, value in RECORD.items():
        assert asdict(artifact.manifest)[name] == value


def test_versions_increase_and_the_highest_is_current(store: Store) -> None:
    assert store.current(ASSET, CELL) is None and store.versions(ASSET, CELL) == []
    published = [publish(store, {"a": str(number).encode()}) for number in range(11)]
    assert [artifact.manifest.version for artifact in published] == list(range(1, 12))
    assert store.versions(ASSET, CELL) == published
    assert store.current(ASSET, CELL) == published[-1] == store.require(ASSET, CELL)
    assert store.current(ASSET, OTHER) is None
    for artifact in published:
        assert_whole(artifact)


def test_a_missing_artifact_says_what_to_materialise(store: Store) -> None:
    with pytest.raises(NotMadeError) as error:
        store.require(ASSET, CELL)
    said = f"teacher_model [8/unmasked] has not been materialised in {store.name}; materialise it first"
    assert str(error.value) == said


def test_content_digest_depends_on_names_and_bytes_alone(store: Store) -> None:
    first = publish(store, {"a": b"1", "b/c": b"2"})
    with store.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / "b").mkdir()
        (stage.folder / "b/c").write_bytes(b"2")
        (stage.folder / "a").write_bytes(b"1")
        os.utime(stage.folder / "a", (1, 1))
        again = store.publish(stage, ASSET, CELL, **{**RECORD, "started": 99.0, "ended": 100.0, "run_id": "other"})
    assert again.manifest.content_digest == first.manifest.content_digest
    assert again.manifest.artifact_id != first.manifest.artifact_id
    assert publish(store, {"a": b"1", "b/d": b"2"}).manifest.content_digest != first.manifest.content_digest
    assert publish(store, {"a": b"1", "b/c": b"3"}).manifest.content_digest != first.manifest.content_digest


def test_scratch_is_not_published_and_the_stage_is_gone(store: Store) -> None:
    with store.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.scratch / "checkpoints").mkdir(parents=True)
        (stage.scratch / "checkpoints" / "step-1").write_bytes(b"big")
        (stage.folder / "a").write_bytes(b"1")
        artifact = store.publish(stage, ASSET, CELL, **RECORD)
    assert list(artifact.manifest.files) == ["a"]
    assert_whole(artifact)
    with store.staging(ASSET, CELL, FINGERPRINT) as stage:
        assert not stage.found and not stage.scratch.exists()


@pytest.mark.parametrize(("asset", "arm"), [("../out", "a"), ("teacher_model", ".."), ("", "a"), ("a", "b c")])
def test_a_name_that_could_lead_out_of_the_store_is_refused(store: Store, asset: str, arm: str) -> None:
    with pytest.raises(NomadError, match="cannot name a folder; use letters, digits"):
        store.current(asset, Cell(8, arm))


# Staging


def test_a_stage_that_a_dead_step_left_is_found_by_the_same_fingerprint_alone(store: Store) -> None:
    with pytest.raises(RuntimeError), store.staging(ASSET, CELL, FINGERPRINT) as stage:
        assert not stage.found
        (stage.folder / "half").write_bytes(b"1")
        raise RuntimeError
    with store.staging(ASSET, CELL, FINGERPRINT) as again:
        assert again.found and (again.folder / "half").read_bytes() == b"1"
    with store.staging(ASSET, CELL, "e" * 64) as other:
        assert not other.found and list(other.folder.iterdir()) == []
        assert not again.folder.exists()
    with store.staging(ASSET, OTHER, "f" * 64):
        assert other.folder.exists(), "another cell's stage is not ours to remove"


def test_a_stage_that_was_not_needed_is_gone(store: Store) -> None:
    with store.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / "half").write_bytes(b"1")
        store.discard(stage)
    with store.staging(ASSET, CELL, FINGERPRINT) as again:
        assert not again.found


def test_a_failed_step_leaves_what_was_published(store: Store) -> None:
    first = publish(store, {"a": b"1"})
    with pytest.raises(RuntimeError), store.staging(ASSET, CELL, "e" * 64) as stage:
        (stage.folder / "a").write_bytes(b"broken")
        raise RuntimeError
    assert store.current(ASSET, CELL) == first
    assert_whole(first)
    assert publish(store, {"a": b"2"}, fingerprint="e" * 64).manifest.version == 2


# Withdrawals, and answers that processes share


def test_withdrawals_are_told_oldest_first(store: Store) -> None:
    assert store.withdrawals() == []
    for moment in (2.0, 1.0, 3.0):
        store.withdraw({**WITHDRAWAL, "time": moment})
    assert store.withdrawals() == [{**WITHDRAWAL, "time": moment} for moment in (1.0, 2.0, 3.0)]


def test_what_did_not_heed_the_last_withdrawal_is_not_published(store: Store) -> None:
    with store.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / "a").write_bytes(b"1")
        store.withdraw(WITHDRAWAL)
        with pytest.raises(NomadError, match="seed rows were withdrawn while this step ran; nothing was published"):
            store.publish(stage, ASSET, CELL, [], **RECORD)
        assert store.current(ASSET, CELL) is None
        assert store.publish(stage, ASSET, CELL, store.withdrawals(), **RECORD).manifest.version == 1


def test_nothing_is_published_while_a_withdrawal_is_recorded(store: Store) -> None:
    publish(store, {"a": b"1"})
    with store.withdrawing():
        step = threading.Thread(target=publish, args=(store, {"a": b"2"}))
        step.start()
        step.join(0.3)
        assert step.is_alive() and store.current(ASSET, CELL).manifest.version == 1
    step.join()
    assert store.current(ASSET, CELL).manifest.version == 2


def never() -> str:
    raise AssertionError("asked although there is an answer")


AGREE = """
answer = store.agreed("which precision?", lambda: sys.argv[3])
print(answer)
"""


def test_all_processes_get_the_first_answer(store: Store, process: Callable) -> None:
    asked = [process(AGREE, str(number)) for number in range(3)]
    answers = [one.communicate()[0].split()[-1] for one in asked]
    assert answers == [answers[0]] * 3 and answers[0] in ("0", "1", "2")
    assert store.agreed("which precision?", never) == answers[0]
    assert store.agreed("another question", lambda: "yes") == "yes"


# Looking around


def test_a_store_that_has_nothing_yet(store: Store) -> None:
    assert not store.exists() and store.can_write()
    assert store.places() == [] and store.listing() == {} and store.listing(pruned=True) == {}
    publish(store, {"a": b"1"})
    assert store.exists() and store.can_write()


def test_what_is_published_is_listed_with_its_files(store: Store) -> None:
    first, second = publish(store, {"a": b"1"}), publish(store, {"a": b"2"})
    whole = publish(store, {"b/c": b"3"}, cell=Cell())
    listed = store.listing()
    assert {store.manifest(key).artifact_id for key in listed} == {
        a.manifest.artifact_id for a in (first, second, whole)
    }
    (key,) = (key for key in listed if store.manifest(key) == second.manifest)
    assert store.file(key, "a").read_bytes() == b"2" and store.file(key, "b") is None
    assert store.places() == [(ASSET, Cell()), (ASSET, CELL)]
    assert store.listing() == listed, "stamps change with versions alone"
    publish(store, {"a": b"4"})
    assert {key: stamp for key, stamp in store.listing().items() if key in listed} == listed


def test_the_manifest_of_what_has_gone(store: Store) -> None:
    publish(store, {"a": b"1"})
    publish(store, {"a": b"2"})
    gone = [key for key in store.listing() if store.manifest(key).version == 1]
    store.remove_superseded(1, no_record, dry_run=False)
    with pytest.raises(FileNotFoundError):
        store.manifest(gone[0])
    assert store.file(gone[0], "a") is None


def test_a_large_grid_is_read_where_few_files_may_be_open(store: Store) -> None:
    artifact = publish(store, {"a": b"1"})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 100, hard))
    try:
        with store.reading([artifact] * 1000):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOENT, "no such file", "/elsewhere/rows.jsonl")])
def test_an_error_that_is_no_fault_of_the_store_is_not_explained(store: Store, error: Exception) -> None:
    assert store.explain(error, None) is None


def test_a_full_disk_is_explained(store: Store) -> None:
    said = store.explain(OSError(errno.ENOSPC, "No space left on device"), None)
    assert said == (
        f"could not write to {store.name}: No space left on device; make room and run again. "
        "What was published before is intact"
    )


def test_one_process_at_a_time_builds_the_database(store: Store, process: Callable) -> None:
    with store.database_lock():
        assert store.database.parent.is_dir()
        waiting = process("with store.database_lock():\n    print('mine', flush=True)")
        assert readable(waiting, "started")
        time.sleep(0.3)
        assert waiting.poll() is None
    assert waiting.stdout.readline() == "mine\n" and waiting.wait() == 0


# Pruning


def versions(store: Store, cell: Cell = CELL) -> list[int]:
    return [artifact.manifest.version for artifact in store.versions(ASSET, cell)]


@pytest.fixture
def three(store: Store) -> Store:
    """Three versions in one place, one in another."""
    for number in range(3):
        publish(store, {"a": str(number).encode() * 1000, "big": b"x"})
    publish(store, {"a": b"1"}, cell=OTHER)
    return store


@pytest.mark.parametrize(("keep", "left"), [(1, [3]), (2, [2, 3]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_the_newest_versions_stay(three: Store, keep: int, left: list[int]) -> None:
    removed = three.remove_superseded(keep, no_record, dry_run=False)
    assert versions(three) == left and versions(three, OTHER) == [1]
    assert {leftover.what for leftover in removed} <= {"superseded version"} and len(removed) == 3 - len(left)
    assert three.remove_superseded(keep, no_record, dry_run=False) == []


def test_a_dry_run_removes_nothing_and_says_the_same(three: Store) -> None:
    planned = three.remove_superseded(1, no_record, dry_run=True)
    assert versions(three) == [1, 2, 3] and three.listing(pruned=True) == {}
    assert all(leftover.size > 1000 for leftover in planned)
    assert three.remove_superseded(1, no_record, dry_run=False) == planned


def test_what_is_recorded_of_a_pruned_version_is_found(three: Store) -> None:
    before = three.versions(ASSET, CELL)[0].manifest

    def record(artifact: Artifact, folder: Path) -> None:
        (folder / "kept").write_bytes((artifact / "a").read_bytes()[:1])

    three.remove_superseded(2, record, dry_run=False)
    (key,) = three.listing(pruned=True)
    assert three.manifest(key, pruned=True) == before
    assert three.file(key, "kept", pruned=True).read_bytes() == b"0" and three.file(key, "a", pruned=True) is None
    assert key not in three.listing()


def test_a_number_is_never_given_twice(three: Store) -> None:
    three.remove_superseded(1, no_record, dry_run=False)
    assert publish(three, {"a": b"4"}).manifest.version == 4
    three.remove_places([(ASSET, CELL)], "gone", no_record, dry_run=False)
    assert versions(three) == [] and publish(three, {"a": b"5"}).manifest.version == 5


def test_places_are_removed_whole(three: Store) -> None:
    planned = three.remove_places([(ASSET, CELL)], "not wanted", no_record, dry_run=True)
    assert [leftover.what for leftover in planned] == ["not wanted"] * 3 and versions(three) == [1, 2, 3]
    assert three.remove_places([(ASSET, CELL)], "not wanted", no_record, dry_run=False) == planned
    assert three.places() == [(ASSET, OTHER)] and len(three.listing(pruned=True)) == 3


READ = """
with store.reading([store.versions(ASSET, CELL)[0]]):
    print("reading", flush=True)
    time.sleep(60)
"""


def test_a_version_that_somebody_reads_stays(three: Store, process: Callable) -> None:
    reader = process(READ)
    assert readable(reader, "reading")
    three.remove_superseded(1, no_record, dry_run=False)
    assert versions(three) == [1, 3]
    reader.kill()
    reader.wait()
    three.remove_superseded(1, no_record, dry_run=False)
    assert versions(three) == [3]


def test_reading_a_version_that_was_pruned_is_an_error(three: Store) -> None:
    old = three.versions(ASSET, CELL)[0]
    three.remove_superseded(1, no_record, dry_run=False)
    with pytest.raises(NomadError, match=r"teacher_model/8/unmasked/\w+ was removed before"), three.reading([old]):
        pass


def stage(store: Store, cell: Cell, fingerprint: str = FINGERPRINT) -> Path:
    """A stage that a step left when it died."""
    with store.staging(ASSET, cell, fingerprint) as left:
        (left.folder / "half").write_bytes(b"x" * 1000)
    return left.folder


def test_stages_go_unless_a_run_would_continue_them(store: Store) -> None:
    kept, gone = stage(store, OTHER), stage(store, CELL)
    resumable = {(ASSET, OTHER, FINGERPRINT)}
    (planned,) = store.remove_stages(resumable, dry_run=True)
    assert (planned.what, planned.size) == ("staging leftover", 1000) and gone.is_dir()
    assert store.remove_stages(resumable, dry_run=False) == [planned]
    assert kept.is_dir() and not gone.exists()
    assert store.remove_stages(resumable, dry_run=False) == []


def test_a_stage_that_a_step_works_in_stays(store: Store) -> None:
    with store.staging(ASSET, CELL, FINGERPRINT) as held:
        assert store.remove_stages(set(), dry_run=False) == [] and held.folder.is_dir()


def test_stages_are_removed_beside_a_step_that_writes_also_those_of_an_arm_called_lock(store: Store) -> None:
    """A step's files come and go while the store is looked through."""
    gone = stage(store, Cell(8, "lock"))
    done = threading.Event()

    def work(folder: Path) -> None:
        while not done.is_set():
            (folder / "scratch/partial/deep").mkdir(parents=True)
            (folder / "scratch").rename(folder / "other")
            for inner in ("partial/deep", "partial", "."):
                (folder / "other" / inner).rmdir()

    with store.staging(ASSET, CELL, FINGERPRINT) as held:
        step = threading.Thread(target=work, args=(held.folder,))
        step.start()
        try:
            found = [leftover for _ in range(100) for leftover in store.remove_stages(set(), dry_run=False)]
        finally:
            done.set()
            step.join()
        assert len(found) == 1 and not gone.exists() and held.folder.is_dir()


# Several processes

PREAMBLE = """
import itertools, sys, time
from pathlib import Path
from nomad_assets_tests.store.backends import ASSET, CELL, FINGERPRINT, RECORD, open_store
store = open_store(sys.argv[1], Path(sys.argv[2]))
print("started", flush=True)
"""


@pytest.fixture
def process(backend: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts another process that has the same store as `store`; each is killed at the end."""
    with contextlib.ExitStack() as stack:

        def start(code: str, *arguments: str) -> subprocess.Popen:
            command = [sys.executable, "-c", PREAMBLE + code, backend, str(tmp_path), *arguments]
            started = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(started.kill)
            return started

        yield start


def readable(started: subprocess.Popen, word: str) -> bool:
    """Wait until a process has said a word; False when it ends before."""
    return any(line.strip() == word for line in iter(started.stdout.readline, ""))


HOLD = """
with store.staging(ASSET, CELL, FINGERPRINT) as stage:
    print("held", flush=True)
    while not (Path(sys.argv[2]) / "somebody waits").exists():
        time.sleep(0.01)
    (stage.folder / "written by the first").touch()
"""


def test_a_second_process_waits_for_the_first_and_says_so(store: Store, process: Callable, tmp_path: Path) -> None:
    first, said = process(HOLD), []
    assert readable(first, "held")
    with store.staging(ASSET, OTHER, FINGERPRINT, said.append):
        assert said == [], "another cell is free"

    def waits(text: str) -> None:
        said.append(text)
        (tmp_path / "somebody waits").touch()

    with store.staging(ASSET, CELL, FINGERPRINT, waits) as stage:
        assert stage.found and (stage.folder / "written by the first").exists()
    assert said == ["waiting for teacher_model [8/unmasked], which another process is making"]
    assert first.wait() == 0


PUBLISH_FOREVER = """
for number in itertools.count():
    fingerprint = f"{number:064d}"
    with store.staging(ASSET, CELL, fingerprint) as stage:
        for name in range(8):
            (stage.folder / f"part-{name}").write_bytes(f"{number} {name} ".encode() * 20_000)
        store.publish(stage, ASSET, CELL, **{**RECORD, "fingerprint": fingerprint})
"""


def test_a_reader_sees_whole_artifacts_only_and_a_killed_writer_leaves_none_half(
    store: Store, process: Callable
) -> None:
    seen: set[int] = set()
    for _ in range(2):
        writer, before = process(PUBLISH_FOREVER), len(seen)
        while len(seen) < before + 12:
            assert writer.poll() is None
            current = store.current(ASSET, CELL)
            if current is not None and current.manifest.version not in seen:
                assert_whole(current)
                seen.add(current.manifest.version)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    found = store.versions(ASSET, CELL)
    assert [artifact.manifest.version for artifact in found] == list(range(1, len(found) + 1))
    for artifact in found:
        assert_whole(artifact)
    assert publish(store, {"a": b"1"}).manifest.version == len(found) + 1


def test_another_process_has_the_same_store(backend: str, store: Store, tmp_path: Path) -> None:
    made = publish(store, {"a": b"1"})
    assert open_store(backend, tmp_path).current(ASSET, CELL) == made
