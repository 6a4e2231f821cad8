"""Sizes, arms and cells of a grid, and their labels, both ways."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.runner import plan, serves
from nomad_assets.errors import NomadError
from nomad_assets.grid import Arm, Grid
from nomad_assets.names import NAME
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.sections import GridSettings
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.profile_keys import changed

SMOKE = load_profile("smoke")


def grid_of(**settings) -> Grid:
    return Grid(SMOKE.model_copy(update={"grid": GridSettings(**settings)}))


def test_arms_without_replicates_have_the_name_of_their_prompt_loss():
    assert grid_of(train_sizes=[8]).arms == {"masked": Arm("masked", 0.0, 0), "unmasked": Arm("unmasked", 1.0, 0)}


def test_the_first_replicate_has_the_plain_name():
    assert grid_of(train_sizes=[8], prompt_loss={"masked": 0.0, "half": 0.5}, replicates=3).arms == {
        "masked": Arm("masked", 0.0, 0),
        "masked-s1": Arm("masked", 0.0, 1),
        "masked-s2": Arm("masked", 0.0, 2),
        "half": Arm("half", 0.5, 0),
        "half-s1": Arm("half", 0.5, 1),
        "half-s2": Arm("half", 0.5, 2),
    }


def test_replicates_that_are_added_leave_the_first_ones_artifacts(finished):
    grid = Grid(changed(finished.grid.profile, "grid.replicates", 2))
    for step, cell in finished.grid.all_places():
        now = plan(step, cell, grid, finished.store)
        assert serves(finished.store.require(step.name, cell), now.wanted, now.withdrawals) == (
            step.name != "recipe_report"
        ), step.name


def test_replicates_have_seeds_of_their_own_and_arms_of_one_replicate_share_them():
    grid = grid_of(train_sizes=[8], replicates=2)
    seeds = {arm: grid.seed("teacher_model", Cell(8, arm)) for arm in grid.arms}
    assert seeds["masked"] == seeds["unmasked"] and seeds["masked-s1"] == seeds["unmasked-s1"]
    assert len(set(seeds.values())) == 2


def test_the_worked_example():
    cell = Cell(64, "unmasked-s1")
    assert cell in grid_of(train_sizes=[64], replicates=2).cells
    assert cell.path == PurePosixPath("64/unmasked-s1")
    assert cell.label == "64/unmasked-s1"


def test_coarser_cells():
    assert (Cell().path, Cell().label) == (PurePosixPath("."), "-")
    assert (Cell(64).path, Cell(64).label) == (PurePosixPath("64"), "64")


def test_labels_and_cells_both_ways():
    grid = grid_of(train_sizes=[64, 8], replicates=2)
    for over in Over:
        for cell in grid.members(over):
            assert grid.place(cell.label) == Cell.of_label(cell.label) == cell


def test_the_grid_is_every_size_with_every_arm():
    grid = grid_of(train_sizes=[64, 8])
    assert grid.sizes == [Cell(8), Cell(64)]
    assert grid.cells == [Cell(8, "masked"), Cell(8, "unmasked"), Cell(64, "masked"), Cell(64, "unmasked")]
    assert grid.members(Over.GRID) == [Cell()]


def test_what_a_cell_covers():
    grid = grid_of(train_sizes=[8, 64])
    assert [cell.label for cell in grid.cells if Cell(8).covers(cell)] == ["8/masked", "8/unmasked"]
    assert all(Cell().covers(cell) for over in Over for cell in grid.members(over))
    assert [cell.label for cell in grid.cells if Cell(8, "masked").covers(cell)] == ["8/masked"]
    assert not Cell(8).covers(Cell()) and not Cell(8, "masked").covers(Cell(8))


def test_a_cell_has_labels():
    grid = grid_of(train_sizes=[8], prompt_loss={"half": 0.5}, replicates=2)
    assert grid.labels(Cell(8, "half-s1")) == {
        "train_size": 8, "arm": "half-s1", "prompt_loss": "half", "weight": 0.5, "replicate": 1,
    }  # fmt: skip
    assert set(grid.labels(Cell()).values()) == {None}


def test_parse():
    assert grid_of(train_sizes=[8, 64]).parse("64/unmasked") == Cell(64, "unmasked")


@pytest.mark.parametrize(
    "text", ["32/masked", "/masked", "", "masked/64", "-8/masked", "8.0/masked", "²/masked", " 8/masked"]
)
def test_an_unknown_size_lists_the_known_ones(text):
    size = text.partition("/")[0]
    with pytest.raises(
        NomadError, match=f"^{re.escape(f'cell {text!r}: unknown train size {size!r}; this profile has 8, 64')}$"
    ):
        grid_of(train_sizes=[64, 8]).parse(text)


@pytest.mark.parametrize("text", ["8/maksed", "8", "8/", "8/masked/x", "8/../../etc", "8/MASKED"])
def test_an_unknown_arm_lists_the_known_ones(text):
    arm = text.partition("/")[2]
    with pytest.raises(
        NomadError, match=f"^{re.escape(f'cell {text!r}: unknown arm {arm!r}; this profile has masked, unmasked')}$"
    ):
        grid_of(train_sizes=[64, 8]).parse(text)


@given(arm=st.from_regex(NAME, fullmatch=True), size=st.integers(1, 10**9))
def test_every_accepted_arm_stays_inside_the_store(tmp_path_factory, arm, size):
    root = tmp_path_factory.getbasetemp().resolve() / "store"
    place = LocalStore(root).place("teacher_model", Cell(size, arm))
    assert place.resolve() == place
    assert place.relative_to(root).parts == ("teacher_model", str(size), arm)


@given(arm=st.from_regex(NAME, fullmatch=True), size=st.integers(1, 10**9))
def test_every_accepted_arm_is_read_back_from_its_label(arm, size):
    cell = Cell(size, arm)
    assert grid_of(train_sizes=[size], prompt_loss={arm: 0.5}).parse(cell.label) == cell


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/abs", "a\n", "a|b", "ä", "-x"])
def test_names_that_would_leave_the_store_are_refused(name):
    with pytest.raises(ValueError, match="use letters, digits"):
        GridSettings(train_sizes=[8], prompt_loss={name: 1.0})
