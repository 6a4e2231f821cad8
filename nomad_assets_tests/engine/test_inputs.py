"""What a step gets of its parents when their files are not what was published."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine import fingerprint
from nomad_assets.engine.plan import is_current, plan
from nomad_assets.errors import NomadError
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import WORLD, make, make_all


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: path.write_bytes(b"PAR1 no"), lambda path: path.write_bytes(path.read_bytes()[:-9])],
    ids=["lost", "no table", "cut off"],
)
def test_a_parents_table_that_cannot_be_read_is_said_with_its_remedy(
    store: LocalStore, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for the state of a step gets no error of a library, with a place that names no artifact."""
    make_all(store)
    monkeypatch.setattr(fingerprint, "_digests", {})  # as another process sees it
    words = store.require("words", Cell())
    damage(words / "words.parquet")
    said = f"{words.manifest.artifact_id}: words.parquet cannot be read; `nomad-assets run --repair` makes it again: "
    with pytest.raises(NomadError) as planned:
        plan(WORLD.graph["sample"], Cell(2), WORLD, store)
    assert str(planned.value).startswith(said)
    assert not is_current(WORLD.graph["sample"], Cell(2), WORLD, store)
    with pytest.raises(NomadError) as ran:
        make(store, "sample", Cell(2))
    assert str(ran.value).startswith(f"sample [2]: {said}")


def test_a_whole_table_that_is_lost_is_said_when_it_is_read(store: LocalStore) -> None:
    """What is read whole is known by its manifest: only the step's function opens it."""
    make_all(store)
    sample = store.require("sample", Cell(2))
    (sample / "sample.parquet").unlink()
    said = f"loud [2/high]: {sample.manifest.artifact_id}: sample.parquet cannot be read; `nomad-assets run --repair` makes it again: "
    with pytest.raises(NomadError) as ran:
        make(store, "loud", Cell(2, "high"), force=True)
    assert str(ran.value).startswith(said)
