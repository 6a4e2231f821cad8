"""A full disk, through a step: one sentence says what happened, and what was published before is intact."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Run
from nomad_assets.engine.runner import Made, Reused, run
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH
from nomad_assets.store.digests import digest
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.store.backends import assert_whole

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
Pool = Callable[[], Made | Reused]


@pytest.fixture
def pool(tmp_path: Path, local: LocalStore) -> Pool:
    """Makes seed_examples in `local` out of 20 rows."""
    (tmp_path / "mine.toml").write_text(PROFILE)
    (tmp_path / "questions.jsonl").write_text('{"question": "What is the capital of Peru?", "answers": ["Lima"]}\n')
    write_seeds(tmp_path, 20)
    grid = Grid(load_profile(str(tmp_path / "mine.toml")))
    return lambda: run(GRAPH["seed_examples"], Cell(), grid, local, [], Run("run", "test"))


@pytest.fixture
def small_disk(local: LocalStore) -> Iterator[Path]:
    """The store's root on a file system of 16 MiB."""
    local.root.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root alone")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(local.root)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system could be mounted here: {mounted.stderr.strip()}")
    yield local.root
    subprocess.run(["umount", str(local.root)], check=True)


def write_seeds(folder: Path, rows: int) -> None:
    lines = [
        json.dumps({"prompt": f"Which word is number {n} of {digest(n)}?", "response": digest(-n)}) for n in range(rows)
    ]
    (folder / "seeds.jsonl").write_text("\n".join(lines))


def assert_says_disk_full(pool: Pool, local: LocalStore) -> None:
    with pytest.raises(NomadError) as error:
        pool()
    assert str(error.value) == (
        f"seed_examples [-]: could not write to {local.root}: No space left on device; make room and run again. "
        "What was published before is intact"
    )


def test_a_disk_that_is_full_when_a_table_is_written(
    pool: Pool, local: LocalStore, small_disk: Path, tmp_path: Path
) -> None:
    first = pool().artifact
    write_seeds(tmp_path, 2000)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 20_000))
    assert_says_disk_full(pool, local)
    assert local.versions("seed_examples", Cell()) == [first]
    assert_whole(first)
    filler.unlink()
    second = pool().artifact
    assert (second.manifest.version, second.manifest.rows) == (2, 2000)
    assert_whole(second)


def test_a_disk_that_is_full_when_an_artifact_is_synced(
    pool: Pool, local: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = pool().artifact
    write_seeds(tmp_path, 30)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("nomad_assets.durable.os.fsync", full)
        assert_says_disk_full(pool, local)
    assert local.versions("seed_examples", Cell()) == [first]
    assert_whole(first)
    assert pool().artifact.manifest.rows == 30


def test_bad_input_fails_with_its_message_and_publishes_nothing(pool: Pool, local: LocalStore, tmp_path: Path) -> None:
    first = pool().artifact
    (tmp_path / "seeds.jsonl").write_text('{"prompt": "Who?", "response": ""}')
    with pytest.raises(NomadError) as error:
        pool()
    assert str(error.value) == (
        f"seed_examples [-]: {tmp_path}/seeds.jsonl row 1: the response is empty; every row needs a prompt and a response"
    )
    assert local.versions("seed_examples", Cell()) == [first]


def test_what_has_not_changed_is_reused(pool: Pool, local: LocalStore) -> None:
    made, again = pool(), pool()
    assert isinstance(made, Made) and again == Reused(made.artifact)
    assert local.versions("seed_examples", Cell()) == [made.artifact]
