"""What a step says when the disk or somebody else touches its store, and that what was published stays."""

import errno
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.runner import Made
from nomad_assets.errors import NomadError
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import Recorder, ToyGrid, make, make_all, published, raises, world

CELL = Cell(2, "high")


@pytest.fixture
def made(store: LocalStore) -> LocalStore:
    """A store with everything."""
    make_all(store)
    return store


FULL = "could not write to {root}: {reason}; make room and run again. What was published before is intact"
CLOSED = "could not write to {root}: {reason}; make it writable and run again. What was published before is intact"


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        (OSError(errno.ENOSPC, "x"), errno.ENOSPC, FULL),
        (OSError(errno.EDQUOT, "x"), errno.EDQUOT, FULL),
        (OSError(errno.EFBIG, "x"), errno.EFBIG, FULL),
        (OSError(errno.EROFS, "x"), errno.EROFS, CLOSED),
        # polars, safetensors and torch tell the number in words.
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), errno.ENOSPC, FULL),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), errno.EROFS, CLOSED),
    ],
)
def test_a_disk_that_takes_no_more_is_one_sentence(made: LocalStore, error, reason: int, said: str) -> None:
    before = published(made)
    with pytest.raises(NomadError) as raised:
        make(made, "loud", CELL, grid=world("loud", raises(error)), force=True)
    assert str(raised.value) == "loud [2/high]: " + said.format(root=made.root, reason=os.strerror(reason))
    assert raised.value.__cause__ is error and published(made) == before


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_permissions_are_the_stores_where_the_file_is(store: LocalStore, tmp_path: Path, code: int) -> None:
    def refused(place: Path) -> ToyGrid:
        return world("words", raises(OSError(code, os.strerror(code), str(place))))

    with pytest.raises(NomadError, match="make it writable and run again"):
        make(store, "words", grid=refused(store.root / "words"))
    with pytest.raises(NomadError, match="make it writable and run again"):
        make(store, "words", grid=refused(store.root.parent))
    with pytest.raises(PermissionError):  # a source that may not be read
        make(store, "words", grid=refused(tmp_path / "seeds.jsonl"))


def test_a_disk_that_is_full_when_an_artifact_is_synced(made: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = published(made)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(NomadError, match="No space left on device; make room"):
        patch.setattr(os, "fsync", full)
        make(made, "loud", CELL, force=True)
    assert published(made) == before
    listener = Recorder()
    assert isinstance(make(made, "loud", CELL, listener, force=True), Made) and listener.resumes == [True]


@pytest.mark.parametrize("what", ["the store", "the stage"])
def test_a_store_that_is_removed_under_a_step_is_one_sentence(made: LocalStore, what: str) -> None:
    def remove(inputs: Inputs, out: Output) -> None:
        shutil.rmtree(made.root if what == "the store" else out.stage.folder)

    said = rf"^loud \[2/high\]: its folder in {made.root} was removed while the step was running; run again$"
    with pytest.raises(NomadError, match=said):
        make(made, "loud", CELL, grid=world("loud", remove), force=True)
    assert [a.manifest.version for a in made.versions("loud", CELL)] == ([] if what == "the store" else [1])


def test_a_stage_that_is_removed_and_written_anew_is_not_published(made: LocalStore) -> None:
    def replace_stage(inputs: Inputs, out: Output) -> None:
        out.stage.folder.rename(out.stage.folder.with_name("aside"))
        out.stage.folder.mkdir()

    with pytest.raises(NomadError, match="was removed while the step was running"):
        make(made, "loud", CELL, grid=world("loud", replace_stage), force=True)
    assert [a.manifest.version for a in made.versions("loud", CELL)] == [1]
