"""Every step makes what it made from exactly what it declares, and looks at all of that."""

from pathlib import Path

import polars as pl
import pytest
from jinja2 import UndefinedError

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.step import View
from nomad_assets.engine.tables import Table
from nomad_assets.errors import NomadError
from nomad_assets.steps import GRAPH
from nomad_assets_tests.conftest import Finished
from nomad_assets_tests.steps.declared_inputs import declared_keys, declared_parts, run_on_declared

SMALLEST = {over: Cell(8, "unmasked").at(over) for over in Over}
# Keys that the smoke profile gives no cause to look at, or that stand in the config a second time as something outside.
NOT_LOOKED_AT = {
    "synthetic_corpus": {
        "synthesis.answerer_chat_template", "answerer", "answerer_chat_template", "answerer_dtype",
        "synthesis.stop_at_right", "right_plugin",
    },
    "curated_corpus": {"curation.embedder", "students_also_see_seeds"},
    "headroom_scores": {"headroom.questions"},  # of the view
    # The order of the pool is that of the view.
    "seed_subset": {"head.order"}, "student_model": {"gold.order"}, "control_model": {"gold.order"},
}  # fmt: skip
NAMED_COLUMNS = [
    (step.name, parent, table, column)
    for step in GRAPH.values()
    for parent, read in step.inputs.items()
    if read.when is None  # what is read in some cells alone is not in these
    for table, view in read.tables.items()
    for column in view.columns or ()
]


@pytest.fixture
def whole(name: str, request: pytest.FixtureRequest) -> Finished:
    """A finished run with the step in it."""
    return request.getfixturevalue("headroom" if GRAPH[name].asked else "finished")


@pytest.mark.parametrize("name", GRAPH)
def test_a_step_makes_the_same_from_what_it_declares_and_looks_at_all_of_it(
    name: str, whole: Finished, tmp_path: Path
) -> None:
    finished, step, cell = whole, GRAPH[name], SMALLEST[GRAPH[name].over]
    ran = run_on_declared(step, cell, finished.grid, finished.store, tmp_path)
    stored = finished.store.require(name, cell).manifest
    assert ran.artifact.manifest.files == stored.files
    assert ran.artifact.manifest.content_digest == stored.content_digest
    assert ran.parts == declared_parts(step, finished.grid, cell)
    assert declared_keys(ran.config) - ran.keys == NOT_LOOKED_AT.get(name, set())


@pytest.mark.parametrize(
    ("name", "parent", "table", "column"),
    NAMED_COLUMNS,
    ids=[f"{name}-{parent}.{column}" for name, parent, _, column in NAMED_COLUMNS],
)
def test_a_step_needs_every_column_that_it_names(
    name: str, parent: str, table: type[Table], column: str, whole: Finished, tmp_path: Path
) -> None:
    def without(asset: str, contract: type[Table], frame: pl.DataFrame) -> pl.DataFrame:
        return frame.drop(column) if (asset, contract) == (parent, table) else frame

    with pytest.raises((pl.exceptions.PolarsError, NomadError, ValueError, UndefinedError)):
        run_on_declared(GRAPH[name], SMALLEST[GRAPH[name].over], whole.grid, whole.store, tmp_path, without)


def test_a_whole_table_is_named_without_its_columns() -> None:
    """Otherwise a new column would be left out of what its readers see."""
    for step in GRAPH.values():
        for parent, read in step.inputs.items():
            for table, view in read.tables.items():
                assert view == View() or set(view.columns) < set(table.to_schema().columns), (step.name, parent)
