"""The local store: where its files lie, and what happens when somebody or the disk meddles with them."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.store.digests import file_digest
from nomad_assets.store.layout import MANIFEST, PRUNED, STAGING
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.store.backends import (
    ASSET,
    CELL,
    FINGERPRINT,
    OTHER,
    RECORD,
    WITHDRAWAL,
    assert_whole,
    no_record,
    publish,
)


def test_where_versions_lie(local: LocalStore) -> None:
    assert publish(local, {"a": b"1"}).path == local.root / "teacher_model" / "8" / "unmasked" / "v000001"
    whole = publish(local, {"a": b"1"}, cell=Cell())
    assert whole.path == local.root / "teacher_model" / "v000001"
    assert sorted(p.name for p in whole.path.iterdir()) == ["a", MANIFEST]
    assert set(local.listing()) == {"teacher_model/8/unmasked/v000001", "teacher_model/v000001"}


def test_a_folder_without_manifest_is_nobodys_artifact(local: LocalStore) -> None:
    first = publish(local, {"a": b"1"})
    half = first.path.parent / "v000002"
    half.mkdir()
    (half / "a").write_bytes(b"half")
    assert local.current(ASSET, CELL) == first
    assert local.versions(ASSET, CELL) == [first]
    third = publish(local, {"a": b"3"})
    assert third.manifest.version == 3
    assert local.current(ASSET, CELL) == third


def test_folders_of_somebody_elses_are_no_places(local: LocalStore) -> None:
    artifact = publish(local, {"a": b"1"})
    for copy in ("my copy/v000001", "backup/teacher_model/8/v000001", "teacher_model/08/masked/v000001"):
        shutil.copytree(artifact.path, local.root / copy)
    assert local.places() == [(ASSET, CELL)]
    assert local.remove_superseded(1, no_record, dry_run=False) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"asset": "x", "format": 2, "colour": 3}'])
def test_an_unreadable_manifest_names_its_path(local: LocalStore, content: bytes) -> None:
    artifact = publish(local, {"a": b"1"})
    (artifact / MANIFEST).write_bytes(content)
    for read in (local.current, local.versions):
        with pytest.raises(
            NomadError,
            match=rf"^{artifact / MANIFEST}: not a readable manifest \(.*\); remove the folder and run again$",
        ):
            read(ASSET, CELL)


@pytest.mark.parametrize(("change", "told"), [({"format": None}, 1), ({"format": 3}, 3)])
def test_a_store_of_another_version_is_refused(local: LocalStore, change: dict, told: int) -> None:
    """The version before wrote no format, and `input_digest` in place of the fingerprint."""
    artifact = publish(local, {"a": b"1"})
    record = {**json.loads((artifact / MANIFEST).read_text()), **change}
    if record["format"] is None:
        del record["format"]
        record["input_digest"] = record.pop("fingerprint")
    (artifact / MANIFEST).write_text(json.dumps(record))
    for read in (local.current, local.require, local.versions):
        with pytest.raises(NomadError) as error:
            read(ASSET, CELL)
        assert str(error.value) == (
            f"{artifact / MANIFEST}: this store was written by another version of nomad-assets (format {told}, this version "
            "reads 2); set NOMAD_HOME to a new folder, or remove the store's folder and run again"
        )
    with pytest.raises(NomadError, match="another version of nomad-assets"):
        local.remove_superseded(1, no_record, dry_run=False)
    assert artifact.path.is_dir()


def test_a_manifest_of_an_earlier_try_is_not_published(local: LocalStore) -> None:
    with local.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / MANIFEST).write_text("stale")
        (stage.folder / "a").write_bytes(b"1")
        artifact = local.publish(stage, ASSET, CELL, **RECORD)
    assert list(artifact.manifest.files) == ["a"]
    assert local.require(ASSET, CELL).manifest == artifact.manifest


def test_a_step_that_dies_while_it_publishes_keeps_its_checkpoints(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digesting the weights of a large model takes minutes."""

    def die(path: Path) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("nomad_assets.store.local.sync_and_digest", die)
    with pytest.raises(OSError), local.staging(ASSET, CELL, FINGERPRINT) as stage:
        stage.scratch.mkdir()
        (stage.scratch / "checkpoint").write_bytes(b"hours")
        (stage.folder / "a").write_bytes(b"1")
        local.publish(stage, ASSET, CELL, **RECORD)
    assert (stage.scratch / "checkpoint").read_bytes() == b"hours"


def test_rows_withdrawn_up_to_the_last_moment_are_not_published(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> str:
        local.withdraw(WITHDRAWAL)
        return file_digest(path)

    monkeypatch.setattr("nomad_assets.store.local.sync_and_digest", slow)
    with local.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / "a").write_bytes(b"1")
        with pytest.raises(NomadError, match="seed rows were withdrawn while this step"):
            local.publish(stage, ASSET, CELL, [], **RECORD)
    assert local.current(ASSET, CELL) is None


@pytest.mark.parametrize("removed", [".", "..", "../.."], ids=["the stage", "the place's stages", "the asset's stages"])
@pytest.mark.parametrize("again", [False, True], ids=["", "and a step wrote on"])
def test_a_stage_that_somebody_removed_is_not_published(local: LocalStore, removed: str, again: bool) -> None:
    with pytest.raises((NomadError, FileNotFoundError)) as caught, local.staging(ASSET, CELL, FINGERPRINT) as stage:
        (stage.folder / "a").write_bytes(b"1")
        shutil.rmtree((stage.folder / removed).resolve())
        if again:
            stage.folder.mkdir(parents=True)
            (stage.folder / "b").write_bytes(b"2")
        local.publish(stage, ASSET, CELL, **RECORD)
    gone = f"its folder in {local.root} was removed while the step was running; run again"
    assert gone in (str(caught.value), local.explain(caught.value, stage))
    assert local.current(ASSET, CELL) is None


def test_a_folder_that_may_not_be_written_is_explained_and_a_source_is_not(local: LocalStore) -> None:
    said = local.explain(PermissionError(errno.EACCES, "denied", str(local.root / "x")), None)
    assert said == (
        f"could not write to {local.root}: Permission denied; make it writable and run again. "
        "What was published before is intact"
    )
    assert local.explain(PermissionError(errno.EACCES, "denied", "/elsewhere/rows.jsonl"), None) is None


# Pruning


@pytest.mark.parametrize("manifest", [None, "{}"], ids=["no manifest", "unreadable"])
def test_while_the_newest_version_is_broken_the_one_before_stays(local: LocalStore, manifest: str | None) -> None:
    versions = [publish(local, {"a": b"1"}) for _ in range(3)]
    (versions[-1] / MANIFEST).unlink()
    if manifest:
        (versions[-1] / MANIFEST).write_text(manifest)
    local.remove_superseded(1, no_record, dry_run=False)
    assert (versions[1] / MANIFEST).is_file()


def test_the_number_of_a_version_that_was_deleted_by_hand_is_free_and_of_a_pruned_one_is_not(local: LocalStore) -> None:
    """As the error of an unreadable manifest advises."""
    for _ in range(3):
        publish(local, {"a": b"1"})
    local.remove_superseded(1, no_record, dry_run=False)
    shutil.rmtree(local.require(ASSET, CELL).path)
    assert publish(local, {"a": b"2"}).manifest.version == 3


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_prune_that_died_in_the_middle_is_finished_by_the_next(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    for cell in (CELL, OTHER):
        publish(local, {"a": b"1"}, cell)
        publish(local, {"a": b"2"}, cell)
    everything = set(local.listing())
    calls, rename = 0, os.rename

    def die(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        rename(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            local.remove_superseded(1, no_record, dry_run=False)
    assert {**local.listing(pruned=True), **local.listing()}.keys() == everything, "each is in one of the two"
    local.remove_superseded(1, no_record, dry_run=False)
    assert {key.rpartition("/")[2] for key in local.listing()} == {"v000002"}
    assert {key.rpartition("/")[2] for key in local.listing(pruned=True)} == {"v000001"}
    assert not list((local.root / STAGING).rglob(MANIFEST))
    assert not list((local.root / PRUNED).rglob("*.partial"))
    for cell in (CELL, OTHER):
        assert_whole(local.require(ASSET, cell))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_known_before_it_is_tried(local: LocalStore) -> None:
    local.root.mkdir()
    local.root.chmod(0o500)
    assert not local.can_write()
    local.root.chmod(0o700)
    assert local.can_write()
