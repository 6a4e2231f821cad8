"""What decides whether there is work, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import drift, flat, library_drift, settings_of
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.plan import plan
from nomad_assets.engine.step import Config, Read, View
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import (
    NOTES,
    WORLD,
    Loud,
    LoudConfig,
    Sample,
    Style,
    ToyGrid,
    Words,
    make,
    make_all,
    words,
)

PLACES = {"words": Cell(), "sample": Cell(2), "loud": Cell(2, "high"), "summary": Cell()}


def fingerprints(store: LocalStore, grid: ToyGrid = WORLD) -> dict[str, str]:
    """Of each step, with what is stored of its parents now."""
    return {name: plan(grid.graph[name], cell, grid, store).wanted.digest for name, cell in PLACES.items()}


def changed(store: LocalStore, grid: ToyGrid) -> set[str]:
    """The steps that another world would make again, the parents being what they are."""
    before, after = fingerprints(store), fingerprints(store, grid)
    return {name for name in PLACES if before[name] != after[name]}


def remade(store: LocalStore, name: str, grid: ToyGrid = WORLD, force: bool = False) -> set[str]:
    """The steps whose fingerprints change when one of them is made anew."""
    before = fingerprints(store)
    make(store, name, PLACES[name], grid=grid, force=force)
    after = fingerprints(store)
    return {step for step in PLACES if before[step] != after[step]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store with everything, to be read."""
    store = LocalStore(tmp_path_factory.mktemp("whole"))
    make_all(store)
    return store


@pytest.fixture
def made(store: LocalStore) -> LocalStore:
    """A store with everything, to be changed."""
    make_all(store)
    return store


# Settings and code.


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (WORLD, set()),
        (replace(WORLD, words=["ant"]), {"words"}),
        (replace(WORLD, origin="forest"), {"words"}),
        (replace(WORLD, style=Style(mark="?")), {"loud"}),
        (replace(WORLD, style=Style(repeats=[{"times": 2}])), {"loud"}),
        (replace(WORLD, style=Style(batch_size=1)), set()),
        (replace(WORLD, arms=("low", "high")), {"loud"}),  # its seed
        (WORLD.changed("loud", version="2"), {"loud"}),
        (WORLD.changed("words", version="2"), {"words"}),
        (WORLD.changed("loud", group="other", kinds=("cpu",), heavy=False, checks=[]), set()),
    ],
)  # fmt: skip
def test_a_setting_or_a_version_changes_the_steps_that_have_it(whole, grid: ToyGrid, expected: set[str]) -> None:
    assert changed(whole, grid) == expected


def test_settings_hold_everything_but_what_is_operational() -> None:
    config = LoudConfig(seed=3, style=Style(batch_size=99))
    assert settings_of(config) == {"seed": 3, "style": {"mark": "!", "repeats": [{"times": 1}]}}


def test_a_path_in_a_config_is_refused() -> None:
    class Places(Config):
        folder: Path

    with pytest.raises(TypeError, match="/some/where: a path names a place, not a content"):
        settings_of(Places(folder=Path("/some/where")))


# What is read of parents.


def writes(notes: str = "ant", longest: int = 3, color: str = "red") -> Callable[[Inputs, Output], None]:
    def after(config: Config, inputs: Inputs, out: Output) -> None:
        words.body(config, inputs, out)
        (out.path(NOTES) / "longest.txt").write_text(notes)
        out.report(rows=4, tokens=12, longest=longest, color=color)

    return after


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (WORLD.changed("words", body=writes(notes="bee")), {"loud"}),
        (WORLD.changed("words", body=writes(longest=4)), {"loud"}),
        (WORLD.changed("words", body=writes(color="blue")), set()),
        (replace(WORLD, words=["ant", "bee", "cat", "emu"]), {"loud"}),  # behind the head of sample [2]
        (replace(WORLD, words=["emu", "bee", "cat", "dog"]), {"sample", "loud"}),
        (replace(WORLD, origin="forest"), set()),
    ],
)
def test_a_parent_changes_those_that_read_what_changed(made: LocalStore, grid: ToyGrid, expected: set[str]) -> None:
    assert remade(made, "words", grid, force=True) == expected


def test_a_parent_that_is_made_again_and_comes_out_equal_changes_nothing(made: LocalStore) -> None:
    assert remade(made, "words", force=True) == set()
    assert remade(made, "sample", force=True) == set()


def test_a_table_that_no_one_declares_changes_nothing(made: LocalStore) -> None:
    made.withdraw({"time": 1.0, "reason": "", "rows": {"zebra": {"source": "", "key": ""}}, "artifacts": []})
    make(made, "words")
    assert made.current("words", Cell()).manifest.version == 2
    assert made.current("words", Cell()).read("refused.parquet").height == 1
    for name in ("sample", "loud"):
        place = PLACES[name]
        assert (
            made.current(name, place).manifest.fingerprint == plan(WORLD.graph[name], place, WORLD, made).wanted.digest
        )


def test_a_cell_that_comes_or_goes_changes_who_reads_every_cell(store: LocalStore) -> None:
    make(store, "words")
    make(store, "sample", Cell(2))
    before = plan(WORLD.graph["summary"], Cell(), WORLD, store).wanted
    make(store, "loud", Cell(2, "high"))
    after = plan(WORLD.graph["summary"], Cell(), WORLD, store).wanted
    assert before.digest != after.digest and set(after.reads) == {"loud/2/high"}


def test_what_is_declared_as_read_counts_itself(whole: LocalStore) -> None:
    """Reading one more column, file or figure makes another artifact possible."""
    read = WORLD.graph["loud"].inputs
    for other in (
        Read({Words: View(("id", "word"))}, files=(NOTES,), facts=("longest",)),
        Read({Words: View(("id",))}, facts=("longest",)),
        Read({Words: View(("id",))}, files=(NOTES,), facts=("longest", "color")),
        Read(files=(NOTES,), facts=("longest",)),
    ):
        grid = WORLD.changed("loud", inputs={**read, "words": other})
        assert changed(whole, grid) == {"loud"}


def test_rows_are_chosen_by_the_config(made: LocalStore) -> None:
    """Two sizes read other heads of one table, also when its digest is remembered."""
    wanted = [plan(WORLD.graph["sample"], Cell(size), WORLD, made).wanted for size in (2, 3, 2)]
    assert wanted[0].reads == wanted[2].reads != wanted[1].reads


def test_the_order_of_keys_does_not_count(whole: LocalStore) -> None:
    read = WORLD.graph["loud"].inputs
    assert changed(whole, WORLD.changed("loud", inputs=dict(reversed(read.items())))) == set()


# Drift.


def told(store: LocalStore, name: str, grid: ToyGrid = WORLD) -> list[str]:
    cell = PLACES[name]
    found = drift(store.require(name, cell).manifest, plan(grid.graph[name], cell, grid, store).wanted)
    return [str(change) for change in found]


def test_what_is_current_has_no_drift(whole: LocalStore) -> None:
    assert [told(whole, name) for name in PLACES] == [[]] * 4


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (replace(WORLD, style=Style(mark="?")), ["style.mark ! → ?"]),
        (replace(WORLD, style=Style(repeats=[{"times": 2}])), ["style.repeats.0.times 1 → 2"]),
        (replace(WORLD, style=Style(repeats=[{"times": 1}, {"times": 1}])), ["style.repeats.1.times none → 1"]),
        (WORLD.changed("loud", version="2"), ["code version 1 → 2"]),
        (
            replace(WORLD.changed("loud", version="2"), style=Style(mark="?"), arms=("low", "high")),
            ["code version 1 → 2", "seed 0 → 1", "style.mark ! → ?"],
        ),
        (
            replace(WORLD, style=Style(mark="x" * 100)),
            ["style.mark ! → " + "x" * 40 + "[40 characters left out]" + "x" * 20],
        ),
    ],
)
def test_a_changed_setting_is_told_with_both_values(whole: LocalStore, grid: ToyGrid, said: list[str]) -> None:
    assert told(whole, "loud", grid) == said


def test_a_changed_parent_is_named_with_its_cell(made: LocalStore) -> None:
    grid = replace(WORLD, words=["emu", "bee", "cat", "dog"])
    make(made, "words", grid=grid)
    assert told(made, "sample") == ["words changed"]
    make(made, "sample", Cell(2), grid=grid)
    assert told(made, "loud") == ["sample [2] changed", "words changed"]


def test_a_cell_that_is_new_or_has_gone_is_named(store: LocalStore) -> None:
    make(store, "words")
    make(store, "sample", Cell(2))
    make(store, "loud", Cell(2, "low"))
    make(store, "summary")
    make(store, "loud", Cell(2, "high"))
    assert told(store, "summary") == ["loud [2/high] is new"]
    assert told(store, "summary", replace(WORLD, arms=("high",))) == ["loud [2/low] has gone", "loud [2/high] is new"]


def test_a_parent_that_is_no_longer_read_is_named(whole: LocalStore) -> None:
    grid = WORLD.changed("loud", inputs={"sample": Read({Sample: View()})})
    assert told(whole, "loud", grid) == ["words has gone"]


def test_libraries_are_compared_apart(whole: LocalStore) -> None:
    manifest = replace(
        whole.require("loud", PLACES["loud"]).manifest, libraries={"torch": "1", "polars": "2", "vllm": "3"}
    )
    found = library_drift(manifest, {"torch": "2", "polars": "2"})
    assert [str(change) for change in found] == ["torch 1 → 2", "vllm 3 → not installed"]


def test_nested_settings_with_dotted_keys() -> None:
    settings = {"a": {"b": 1, "c": {}}, "d": [1, 2], "e": [{"f": 1}, {"f": [2]}], "g": None}
    assert dict(flat(settings)) == {"a.b": 1, "a.c": {}, "d": [1, 2], "e.0.f": 1, "e.1.f": [2], "g": None}


def test_a_table_is_read_once_for_all_that_look_at_it_alike(made: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = pl.read_parquet
    monkeypatch.setattr(pl, "read_parquet", lambda source, **kw: reads.append(Path(source).name) or real(source, **kw))
    make(made, "words", grid=replace(WORLD, words=["fox", "gnu", "hen"]))
    for arm in ("high", "low"):
        plan(WORLD.graph["loud"], Cell(2, arm), WORLD, made)
    assert reads.count("words.parquet") == 1


def test_a_table_that_an_artifact_lacks_has_a_fingerprint_all_the_same(store: LocalStore) -> None:
    make(store, "words")
    grid = WORLD.changed("words", tables={"words.parquet": Words, "other.parquet": Loud})
    grid = grid.changed("sample", inputs={"words": Read({Words: View(), Loud: View()})})
    assert plan(grid.graph["sample"], Cell(2), grid, store).wanted.digest
