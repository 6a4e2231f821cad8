"""The publish protocol: whole artifacts or none, whatever happens to the process or the disk."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.assets.inputs import input_assets
from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
from nomad_assets.storage import MANIFEST, SCRATCH, Artifact, Store, digest, file_digest, read_manifest, source_digest

ASSET, CELL = "teacher_model", Cell(8, "unmasked")
DIGEST = "d" * 64
RECORD = {
    "input_digest": DIGEST, "settings": {"epochs": 3.0}, "code_version": "1", "parents": {"seed_subset/8": "seed_subset/8/abc"},
    "run_id": "run", "started": 1.5, "ended": 2.5, "rows": 3, "tokens": 40, "seconds": 1.0, "seed": 7,
    "metrics": {"loss": 0.25, "engine": "transformers", "resumed": None}, "libraries": {"torch": "2"}, "host": {"device": "cpu"},
}  # fmt: skip


def publish(store: Store, files: dict[str, bytes], cell: Cell = CELL, **record) -> Artifact:
    record = {**RECORD, **record}
    with store.staging(ASSET, cell, record["input_digest"]) as stage:
        for name, content in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(content)
        return store.publish(stage, ASSET, cell, **record)


def assert_whole(artifact: Artifact) -> None:
    """Every file that the manifest lists is there with its bytes and digest, and nothing else."""
    found = {p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()}
    assert found == {*artifact.manifest.files, MANIFEST}
    for name, entry in artifact.manifest.files.items():
        assert ((artifact / name).stat().st_size, file_digest(artifact / name)) == (entry["bytes"], entry["sha256"])


def test_a_large_grid_is_read_where_few_files_may_be_open(store):
    artifact = publish(store, {"a": b"1"})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 100, hard))
    try:
        with store.reading([artifact] * 1000):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_published_version_is(store):
    artifact = publish(store, {"a.parquet": b"rows", "model/weights": b"12345"})
    assert artifact.path == store.root / "teacher_model" / "8" / "unmasked" / "v000001"
    assert_whole(artifact)
    record = artifact.manifest
    assert (record.asset, record.partition, record.version) == ("teacher_model", "8/unmasked", 1)
    assert record.files["model/weights"] == {
        "bytes": 5,
        "sha256": "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
    }
    assert record.artifact_id.startswith("teacher_model/8/unmasked/")
    assert len(record.artifact_id.rpartition("/")[2]) == 12
    assert record.content_digest == digest({name: entry["sha256"] for name, entry in record.files.items()})


def test_the_id_of_an_unpartitioned_artifact(store):
    artifact = publish(store, {"a": b"1"}, cell=Cell())
    assert artifact.path == store.root / "teacher_model" / "v000001"
    assert artifact.manifest.partition == "-"
    assert artifact.manifest.artifact_id.count("/") == 1


def test_manifest_round_trip(store):
    artifact = publish(store, {"a": b"1"})
    assert read_manifest(artifact.path) == artifact.manifest
    assert json.loads((artifact / MANIFEST).read_text()) == asdict(artifact.manifest)
    for name, value in RECORD.items():
        assert getattr(artifact.manifest, name) == value


def test_versions_increase_and_the_highest_is_current(store):
    assert store.current(ASSET, CELL) is None
    assert store.versions(ASSET, CELL) == []
    published = [publish(store, {"a": str(number).encode()}) for number in range(11)]
    assert [artifact.manifest.version for artifact in published] == list(range(1, 12))
    assert store.versions(ASSET, CELL) == published
    assert store.current(ASSET, CELL) == published[-1] == store.require(ASSET, CELL)
    assert store.current(ASSET, Cell(8, "masked")) is None
    for artifact in published:
        assert_whole(artifact)


def test_a_missing_artifact_says_what_to_materialise(store):
    with pytest.raises(
        NomadError,
        match=rf"^teacher_model \[8/unmasked\] has not been materialised in {store.root}; materialise it first$",
    ):
        store.require(ASSET, CELL)


def test_content_digest_depends_on_names_and_bytes_alone(store):
    first = publish(store, {"a": b"1", "b/c": b"2"})
    with store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / "b").mkdir()
        (stage / "b/c").write_bytes(b"2")
        (stage / "a").write_bytes(b"1")
        os.utime(stage / "a", (1, 1))
        again = store.publish(stage, ASSET, CELL, **{**RECORD, "started": 99.0, "ended": 100.0, "run_id": "other"})
    assert again.manifest.content_digest == first.manifest.content_digest
    assert again.manifest.artifact_id != first.manifest.artifact_id
    assert publish(store, {"a": b"1", "b/d": b"2"}).manifest.content_digest != first.manifest.content_digest
    assert publish(store, {"a": b"1", "b/c": b"3"}).manifest.content_digest != first.manifest.content_digest


def test_a_folder_without_manifest_is_nobodys_artifact(store):
    first = publish(store, {"a": b"1"})
    half = first.path.parent / "v000002"
    half.mkdir()
    (half / "a").write_bytes(b"half")
    assert store.current(ASSET, CELL) == first
    assert store.versions(ASSET, CELL) == [first]
    third = publish(store, {"a": b"3"})
    assert third.manifest.version == 3
    assert store.current(ASSET, CELL) == third


def test_scratch_is_not_published_and_staging_is_gone(store):
    with store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / SCRATCH / "checkpoints").mkdir(parents=True)
        (stage / SCRATCH / "checkpoints" / "step-1").write_bytes(b"big")
        (stage / "a").write_bytes(b"1")
        artifact = store.publish(stage, ASSET, CELL, **RECORD)
        assert not stage.exists()
    assert sorted(p.name for p in artifact.path.iterdir()) == ["a", MANIFEST]


def test_a_step_that_dies_while_it_publishes_keeps_its_checkpoints(store, monkeypatch):
    """Digesting the weights of a large model takes minutes."""

    def die(path: Path) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("nomad_assets.storage.sync_and_digest", die)
    with pytest.raises(OSError), store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / SCRATCH).mkdir()
        (stage / SCRATCH / "checkpoint").write_bytes(b"hours")
        (stage / "a").write_bytes(b"1")
        store.publish(stage, ASSET, CELL, **RECORD)
    assert (stage / SCRATCH / "checkpoint").read_bytes() == b"hours"


WITHDRAWAL = {"time": 1.0, "reason": "", "rows": {"x": {"source": "", "key": ""}}, "artifacts": []}


def test_rows_withdrawn_up_to_the_last_moment_are_not_published(store, monkeypatch):
    def slow(path: Path) -> str:
        store.withdraw(WITHDRAWAL)
        return file_digest(path)

    with store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / "a").write_bytes(b"1")
        with (
            monkeypatch.context() as patch,
            pytest.raises(NomadError, match="seed rows were withdrawn while this step"),
        ):
            patch.setattr("nomad_assets.storage.sync_and_digest", slow)
            store.publish(stage, ASSET, CELL, [], **RECORD)
        assert store.current(ASSET, CELL) is None
        assert store.publish(stage, ASSET, CELL, store.withdrawals(), **RECORD).manifest.version == 1


def test_nothing_is_published_while_a_withdrawal_is_recorded(store):
    publish(store, {"a": b"1"})
    with store.withdrawing():
        step = threading.Thread(target=publish, args=(store, {"a": b"2"}))
        step.start()
        step.join(0.3)
        assert step.is_alive() and store.current(ASSET, CELL).manifest.version == 1
    step.join(30)
    assert store.current(ASSET, CELL).manifest.version == 2


def test_what_a_dead_step_staged_is_found_by_the_same_digest_alone(store):
    with pytest.raises(RuntimeError), store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / "half").write_bytes(b"1")
        raise RuntimeError
    with store.staging(ASSET, CELL, DIGEST) as again:
        assert again == stage
        assert (again / "half").read_bytes() == b"1"
    with store.staging(ASSET, CELL, "e" * 64) as other:
        assert list(other.iterdir()) == []
        assert not stage.exists()
    with store.staging(ASSET, Cell(8, "masked"), "f" * 64):
        assert other.exists(), "another cell's staging is not ours to remove"


def test_a_failed_step_leaves_what_was_published(store):
    first = publish(store, {"a": b"1"})
    with pytest.raises(RuntimeError), store.staging(ASSET, CELL, "e" * 64) as stage:
        (stage / "a").write_bytes(b"broken")
        raise RuntimeError
    assert store.current(ASSET, CELL) == first
    assert_whole(first)
    assert publish(store, {"a": b"2"}, input_digest="e" * 64).manifest.version == 2


def test_a_manifest_of_an_earlier_try_is_not_published(store):
    with store.staging(ASSET, CELL, DIGEST) as stage:
        (stage / MANIFEST).write_text("stale")
        (stage / "a").write_bytes(b"1")
        artifact = store.publish(stage, ASSET, CELL, **RECORD)
    assert list(artifact.manifest.files) == ["a"]
    assert read_manifest(artifact.path) == artifact.manifest


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"asset": "x", "colour": 3}'])
def test_an_unreadable_manifest_names_its_path(store, content):
    artifact = publish(store, {"a": b"1"})
    (artifact / MANIFEST).write_bytes(content)
    for read in (store.current, store.versions):
        with pytest.raises(
            NomadError,
            match=rf"^{artifact / MANIFEST}: not a readable manifest \(.*\); remove the folder and run again$",
        ):
            read(ASSET, CELL)


def test_source_digest_reads_names_and_contents(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"12345")
    assert source_digest(file) == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jsonl").write_bytes(b"1")
    first = source_digest(folder)
    os.utime(folder / "sub" / "a.jsonl", (1, 1))
    assert source_digest(folder) == first
    (folder / "sub" / "a.jsonl").rename(folder / "sub" / "b.jsonl")
    assert source_digest(folder) != first
    (folder / "sub" / "b.jsonl").rename(folder / "sub" / "a.jsonl")
    (folder / "sub" / "a.jsonl").write_bytes(b"2")
    assert source_digest(folder) != first


def test_one_store_per_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "home"))
    assert Store.of(load_profile("smoke")).root == tmp_path / "home" / "smoke"
    monkeypatch.delenv("NOMAD_HOME")
    monkeypatch.chdir(tmp_path)
    assert Store.of(load_profile("smoke")).root == tmp_path / "data" / "lake" / "smoke"


# Several processes.

HOLD = """
import sys, time
from pathlib import Path
from nomad_assets.cells import Cell
from nomad_assets.storage import Store
root, marks = Path(sys.argv[1]), Path(sys.argv[2])
with Store(root).staging("teacher_model", Cell(8, "unmasked"), "d" * 64) as stage:
    (marks / "held").touch()
    time.sleep(0.8)
    (stage / "written by the first").touch()
    (marks / "left").touch()
"""
PUBLISH_FOREVER = """
import sys, itertools
from pathlib import Path
from nomad_assets.cells import Cell
from nomad_assets.storage import Store
store, cell = Store(Path(sys.argv[1])), Cell(8, "unmasked")
for number in itertools.count():
    with store.staging("teacher_model", cell, f"{number:064d}") as stage:
        for name in range(8):
            (stage / f"part-{name}").write_bytes(f"{number} {name} ".encode() * 20_000)
        store.publish(stage, "teacher_model", cell, input_digest=f"{number:064d}", settings={}, code_version="1", parents={},
                      run_id="", started=0.0, ended=0.0)
"""


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long for the other process"
        time.sleep(0.005)


def test_a_second_process_waits_for_the_first(store, tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root), str(tmp_path)])
    try:
        wait_for((tmp_path / "held").exists)
        with store.staging(ASSET, Cell(8, "masked"), DIGEST):
            assert not (tmp_path / "left").exists(), "another cell is free"
        with store.staging(ASSET, CELL, DIGEST) as stage:
            assert (tmp_path / "left").exists()
            assert (stage / "written by the first").exists()
        assert first.wait(30) == 0
    finally:
        first.kill()
        first.wait()


def test_a_reader_sees_whole_artifacts_only_and_a_killed_writer_leaves_none_half(store):
    seen: set[int] = set()
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", PUBLISH_FOREVER, str(store.root)])
        before = len(seen)
        try:
            deadline = time.monotonic() + 60
            while len(seen) < before + 12 and time.monotonic() < deadline:
                current = store.current(ASSET, CELL)
                if current is not None and current.manifest.version not in seen:
                    assert_whole(current)
                    seen.add(current.manifest.version)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert len(seen) == before + 12
    versions = store.versions(ASSET, CELL)
    assert [artifact.manifest.version for artifact in versions] == list(range(1, len(versions) + 1))
    for artifact in versions:
        assert_whole(artifact)
    assert publish(store, {"a": b"1"}).manifest.version == len(versions) + 1


# A full disk, through the asset itself.

PROFILE = """
[seeds]
sources = [{ path = "seeds.jsonl" }]
[benchmarks.trivia]
source = { path = "questions.jsonl" }
[base_model]
source = "tiny-random"
[grid]
train_sizes = [2]
[synthesis]
target = 1
max_attempts = 1
[curation]
keep = 1
"""


@pytest.fixture
def project(tmp_path: Path, store: Store) -> Project:
    (tmp_path / "mine.toml").write_text(PROFILE)
    (tmp_path / "questions.jsonl").write_text('{"question": "What is the capital of Peru?", "answers": ["Lima"]}\n')
    write_seeds(tmp_path, 20)
    return Project(load_profile(str(tmp_path / "mine.toml")), store=store)


@pytest.fixture
def small_disk(store: Store) -> Iterator[Path]:
    """The store's root on a file system of 1 MiB."""
    store.root.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root alone")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(store.root)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system could be mounted here: {mounted.stderr.strip()}")
    yield store.root
    subprocess.run(["umount", str(store.root)], check=True)


def write_seeds(folder: Path, rows: int) -> None:
    lines = [
        json.dumps({"prompt": f"Which word is number {n} of {digest(n)}?", "response": digest(-n)}) for n in range(rows)
    ]
    (folder / "seeds.jsonl").write_text("\n".join(lines))


def materialise(project: Project) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([input_assets(project)[0]], instance=instance, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult):
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None, event.step_failure_data.error
    return event.step_failure_data


def assert_says_disk_full(result: dg.ExecuteInProcessResult, store: Store) -> None:
    data = failure(result).user_failure_data
    assert data.description == (
        f"seed_examples [-]: could not write to {store.root}: No space left on device; make room and run again. "
        "What was published before is intact"
    )


def test_a_disk_that_is_full_when_a_table_is_written(project, small_disk, tmp_path):
    assert materialise(project).success
    first = project.store.current("seed_examples", Cell())
    write_seeds(tmp_path, 2000)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 20_000))
    result = materialise(project)
    assert not result.success
    assert project.store.current("seed_examples", Cell()) == first
    assert_whole(first)
    assert_says_disk_full(result, project.store)
    filler.unlink()
    assert materialise(project).success
    second = project.store.current("seed_examples", Cell())
    assert (second.manifest.version, second.manifest.rows) == (2, 2000)
    assert_whole(second)


def test_a_disk_that_is_full_when_an_artifact_is_synced(project, monkeypatch, tmp_path):
    assert materialise(project).success
    first = project.store.current("seed_examples", Cell())
    write_seeds(tmp_path, 30)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("nomad_assets.storage.os.fsync", full)
        result = materialise(project)
    assert not result.success
    assert_says_disk_full(result, project.store)
    assert project.store.versions("seed_examples", Cell()) == [first]
    assert_whole(first)
    assert materialise(project).success
    assert project.store.current("seed_examples", Cell()).manifest.rows == 30


def test_bad_input_fails_with_its_message_and_publishes_nothing(project, tmp_path):
    assert materialise(project).success
    first = project.store.current("seed_examples", Cell())
    (tmp_path / "seeds.jsonl").write_text('{"prompt": "Who?", "response": ""}')
    data = failure(materialise(project)).user_failure_data
    assert data.description == (
        f"seed_examples [-]: {tmp_path}/seeds.jsonl row 1: the response is empty; every row needs a prompt and a response"
    )
    assert project.store.versions("seed_examples", Cell()) == [first]


def test_what_has_not_changed_is_reused(project):
    assert materialise(project).success
    result = materialise(project)
    assert result.asset_materializations_for_node("seed_examples")[0].metadata["reused"].value is True
    assert len(project.store.versions("seed_examples", Cell())) == 1
