"""Declarations: what a step says of itself, and that its function gets nothing else."""

from collections.abc import Callable

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import Finding, Stored, check_place, checks_of
from nomad_assets.engine.inputs import Inputs, UndeclaredError
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import File, Read, View, check
from nomad_assets.errors import NomadError
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import (
    NOTES,
    TEXT,
    WORLD,
    Loud,
    LoudConfig,
    Recorder,
    Refused,
    Sample,
    Words,
    body,
    loud,
    make,
    make_all,
    summary,
    words,
)

CELL = Cell(2, "high")


@pytest.fixture
def parents(store: LocalStore) -> LocalStore:
    """A store with what loud [2/high] reads."""
    make(store, "words")
    make(store, "sample", Cell(2))
    return store


def test_a_step_is_named_and_described_by_its_function() -> None:
    assert (loud.name, loud.description, loud.config) == ("loud", "The words of a sample, louder.", LoudConfig)


def test_the_first_table_is_the_main_one() -> None:
    assert (words.main, summary.main) == (Words, None)
    assert (words.file_of(Words), words.file_of(Refused)) == ("words.parquet", "refused.parquet")
    with pytest.raises(KeyError, match="words has no table Loud"):
        words.file_of(Loud)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda inputs, out: inputs["summary"], "summary is no declared input of loud"),
        (lambda inputs, out: inputs["words"].table(Refused), "Refused of words is not declared as read"),
        (lambda inputs, out: inputs["sample"].table(Words), "Words of sample is not declared as read"),
        (lambda inputs, out: inputs["sample"].path(NOTES), "notes/ of sample is not declared as read"),
        (lambda inputs, out: inputs["words"].path(File("words.parquet")), "words.parquet of words is not declared as read"),
        (lambda inputs, out: inputs["words"].fact("color"), "the figure color of words is not declared as read"),
        (lambda inputs, out: inputs["words"].fact("seconds"), "the figure seconds of words is not declared as read"),
        (lambda inputs, out: out.write(pl.DataFrame(), Words), "loud has no table Words"),
        (lambda inputs, out: out.path(NOTES), "notes/ is no declared file of loud"),
    ],
)  # fmt: skip
def test_what_is_not_declared_is_refused(
    parents: LocalStore, ask: Callable[[Inputs, Output], object], said: str
) -> None:
    grid = WORLD.changed("loud", body=body(loud, ask))
    with pytest.raises(UndeclaredError, match=said):
        make(parents, "loud", CELL, grid=grid)
    assert parents.current("loud", CELL) is None


def test_what_is_declared_is_given(parents: LocalStore) -> None:
    seen: dict[str, object] = {}

    def look(inputs: Inputs, out: Output) -> None:
        seen["columns"] = inputs["words"].table(Words).columns
        seen["notes"] = (inputs["words"].path(NOTES) / "longest.txt").read_text()
        seen["longest"] = inputs["words"].fact("longest")
        seen["cell"] = inputs["sample"].cell

    make(parents, "loud", CELL, grid=WORLD.changed("loud", body=body(loud, look)))
    assert seen == {"columns": ["id"], "notes": "ant", "longest": 3, "cell": Cell(2)}


def test_a_view_gives_its_columns_of_its_rows(store: LocalStore) -> None:
    make(store, "words")
    table = make(store, "sample", Cell(2)).artifact.read("sample.parquet")
    assert table.to_dict(as_series=False) == {"id": ["ant", "bee"], "word": ["ant", "bee"]}


def test_a_choice_of_rows_may_look_at_columns_that_it_does_not_give(store: LocalStore) -> None:
    make(store, "words")
    of_the_garden = View(("id", "word"), lambda table, config: table.filter(origin="nowhere"))
    grid = WORLD.changed("sample", inputs={"words": Read({Words: of_the_garden})})
    assert make(store, "sample", Cell(2), grid=grid).artifact.read("sample.parquet").height == 0


def test_all_cells_of_a_finer_parent_come_in_the_order_of_the_grid_and_missing_ones_are_named(
    parents: LocalStore,
) -> None:
    make(parents, "loud", Cell(2, "low"))
    made = make(parents, "summary").artifact
    assert (made / TEXT.name).read_text() == ("2/low: ANT! BEE!\n2/high: missing\n3/high: missing\n3/low: missing")


def test_a_table_that_breaks_its_contract_is_not_published(store: LocalStore) -> None:
    grid = WORLD.changed("words", body=body(words, lambda inputs, out: out.write(
        pl.DataFrame({"id": ["a", "a"], "word": ["x", ""], "origin": ["", ""]}), Words
    )))  # fmt: skip
    with pytest.raises(
        NomadError, match=r"^words \[-\] words.parquet: the table breaks its contract Words: "
    ) as raised:
        make(store, "words", grid=grid)
    assert set(raised.value.counts) == {"field_uniqueness", "str_length(1, None)"} and raised.value.cases
    assert store.current("words", Cell()) is None


def test_what_a_step_says_and_shows(store: LocalStore) -> None:
    listener = Recorder()
    made = make(store, "words", Cell(), listener)
    record = made.artifact.manifest
    assert (record.rows, record.tokens, record.metrics) == (4, 12, {"longest": 3, "color": "red"})
    assert made.shown["preview"].frame.height == 4


def test_checks_stand_beside_their_step_and_run_over_what_is_stored(store: LocalStore) -> None:
    grid = WORLD.changed("sample", checks=[]).changed("loud", checks=[])
    one, other = grid.graph["sample"], grid.graph["loud"]

    @one.check(severity="WARN")
    def has_two_words(stored: Stored) -> Finding:
        """It has two."""
        height = stored.table(Sample).height
        return Finding(height == 2, f"{height} words", {"words": height})

    @check(one, other)
    def cannot_look(stored: Stored) -> Finding:
        raise ValueError("odd")

    assert [(c.name, c.severity) for c in checks_of(one)][2:] == [("has_two_words", "WARN"), ("cannot_look", "ERROR")]
    assert [c.name for c in checks_of(other)][2:] == ["cannot_look"]
    assert checks_of(one)[2].description == "It has two."
    assert check_place(grid, store, one, Cell(3)) == []
    make_all(store, grid=grid)
    found = check_place(grid, store, one, Cell(3))
    assert [(r.check.name, r.finding.passed, r.is_error) for r in found] == [
        ("stored_tables_keep_their_contract", True, False), ("stored_files_match_their_manifest", True, False),
        ("has_two_words", False, False), ("cannot_look", False, True),
    ]  # fmt: skip
    assert found[3].finding.text == "could not be checked: ValueError: odd"


def test_a_config_takes_what_it_declares_alone() -> None:
    with pytest.raises(ValueError, match="forbidden"):
        LoudConfig(style={}, cell="2/high")
    with pytest.raises(ValueError, match="frozen"):
        LoudConfig(style={}).seed = 1
