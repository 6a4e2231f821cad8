"""Order, ancestors, places and column sources, over the toy world and over graphs made for one test."""

import graphlib
import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.graph import Graph, discover, tables_of
from nomad_assets.engine.step import Read, Step, View
from nomad_assets.engine.tables import Table, column
from nomad_assets_tests.toy import GRAPH, WORLD, Loud, Refused, Sample, Words, loud, sample, summary, words


def named(name: str, *parents: str, over: Over = Over.GRID) -> Step:
    return replace(words, name=name, over=over, inputs={parent: Read() for parent in parents}, tables={})


def test_parents_come_before_children_whatever_the_order_of_declaration() -> None:
    assert list(Graph([summary, loud, sample, words])) == ["words", "sample", "loud", "summary"]


def test_a_circle_is_refused() -> None:
    with pytest.raises(graphlib.CycleError):
        Graph([named("a", "b"), named("b", "a")])


def test_ancestors() -> None:
    assert GRAPH.ancestors("summary") == {"loud", "sample", "words"}
    assert GRAPH.ancestors("words") == set()


def test_parents_whose_changes_arrive_through_another_parent_too() -> None:
    assert GRAPH.indirect("loud") == {"words"} and GRAPH.indirect("summary") == set()


def test_stages_run_together_for_one_partition() -> None:
    found = [[step.name for step in stage] for stage in GRAPH.stages()]
    assert found == [["words"], ["sample"], [], ["loud"], [], ["summary"], []]


def test_what_gathers_sizes_or_cells_comes_last() -> None:
    graph = Graph([
        named("grid"), named("size", over=Over.SIZES), named("cell", over=Over.CELLS), named("of_sizes", "size"),
        named("after", "of_sizes"),
    ])  # fmt: skip
    assert [[step.name for step in stage] for stage in graph.stages()] == [
        ["grid"], ["size"], [], ["cell"], [], ["of_sizes", "after"], [],
    ]  # fmt: skip


def test_what_has_to_be_asked_for_is_a_stage_of_its_own_and_in_no_run_that_does_not_name_it() -> None:
    asked = [replace(named("extra", "grid"), asked=True), replace(named("page", "extra"), asked=True)]
    graph = Graph([named("grid"), named("cell", "grid", over=Over.CELLS), *asked])
    assert [[step.name for step in stage] for stage in graph.stages()] == [
        ["grid"], [], [], ["cell"], [], [], ["extra", "page"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("words", Cell(), set()),
        ("sample", Cell(2), {("words", "-")}),
        ("loud", Cell(3, "low"), {("sample", "3"), ("words", "-")}),
        ("summary", Cell(), {("loud", "2/high"), ("loud", "2/low"), ("loud", "3/high"), ("loud", "3/low")}),
    ],
)
def test_a_step_reads_its_own_coordinates_of_coarser_parents_and_every_cell_where_it_says_so(
    name: str, cell: Cell, expected: set[tuple[str, str]]
) -> None:
    assert {(parent, place.label) for parent, place in WORLD.places(GRAPH[name], cell)} == expected


# Columns.


def test_a_copy_a_computed_column_and_one_that_is_made_here() -> None:
    assert GRAPH.column_sources("words") == {}  # all are made in the step itself
    assert GRAPH.column_sources("sample") == {"id": ([("words", "id")], True), "word": ([("words", "word")], True)}
    assert GRAPH.column_sources("summary") == {}  # it has no table


def test_the_columns_of_a_contract_that_is_extended_are_copies() -> None:
    found = GRAPH.column_sources("loud")
    assert found["id"] == ([("sample", "id")], True)
    assert found["shout"] == ([("sample", "word")], False)  # of words it reads the ids alone


def test_a_plain_name_stands_for_every_parent_that_has_it_and_gives_it() -> None:
    class Counted(Table):
        count: int = column("of letters", computed_from=("word",))

    class Named(Table):
        count: int = column("of letters", computed_from=("words.word", "elsewhere.word"))

    def sources(table: type[Table], **views: View) -> dict:
        inputs = {name: Read({{"words": Words, "sample": Sample}[name]: view}) for name, view in views.items()}
        step = replace(sample, name="counted", inputs=inputs, tables={"counted.parquet": table})
        return Graph([words, sample, step]).column_sources("counted")

    both = [("words", "word"), ("sample", "word")]
    assert sources(Counted, words=View(), sample=View()) == {"count": (both, False)}
    assert sources(Counted, words=View(("id",)), sample=View()) == {"count": (both[1:], False)}
    assert sources(Named, words=View(), sample=View()) == {"count": (both[:1], False)}


# Finding steps.


MODULE = """
from nomad_assets.engine.step import Read
from nomad_assets_tests.toy import NoConfig, step, Over

@step(over=Over.GRID, inputs={inputs}, version="1", group="found", kinds=())
def {name}(config: NoConfig, inputs, out):
    "It is found."
"""


def test_steps_are_found_in_the_modules_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "found_steps"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text(MODULE.format(name="second", inputs='{"first": Read()}'))
    (folder / "b.py").write_text(MODULE.format(name="first", inputs="{}"))
    monkeypatch.syspath_prepend(tmp_path)
    found = discover(importlib.import_module("found_steps"))
    assert list(found) == ["first", "second"] and found["first"].description == "It is found."


def test_which_steps_store_a_contract() -> None:
    assert tables_of(GRAPH) == {Words: ["words"], Refused: ["words"], Sample: ["sample"], Loud: ["loud"]}
