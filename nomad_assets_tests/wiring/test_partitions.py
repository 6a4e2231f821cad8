"""Cells, arms and partition keys, both ways."""

import re
from pathlib import PurePosixPath

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.profile.grid import Arm, Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.sections import NAME, GridSettings
from nomad_assets.storage import Store


def grid_of(**settings) -> Grid:
    profile = load_profile("smoke")
    return Grid(profile.model_copy(update={"grid": GridSettings(**settings)}))


def test_arms_without_replicates_have_the_name_of_their_prompt_loss():
    assert grid_of(train_sizes=[8]).arms == {"masked": Arm("masked", 0.0, 0), "unmasked": Arm("unmasked", 1.0, 0)}


def test_arms_with_replicates():
    assert grid_of(train_sizes=[8], prompt_loss={"masked": 0.0, "half": 0.5}, replicates=2).arms == {
        "masked-s0": Arm("masked", 0.0, 0),
        "masked-s1": Arm("masked", 0.0, 1),
        "half-s0": Arm("half", 0.5, 0),
        "half-s1": Arm("half", 0.5, 1),
    }


def test_the_worked_example():
    cell = Cell(64, "unmasked-s1")
    assert cell.partition_key == "unmasked-s1|64"
    assert cell.path == PurePosixPath("64/unmasked-s1")
    assert cell.label == "64/unmasked-s1"


def test_coarser_cells():
    assert (Cell().partition_key, Cell().path, Cell().label) == (None, PurePosixPath("."), "-")
    assert (Cell(64).partition_key, Cell(64).path, Cell(64).label) == ("64", PurePosixPath("64"), "64")


def test_keys_and_cells_both_ways():
    grid = grid_of(train_sizes=[64, 8], replicates=2)
    for kind in ("none", "size", "cell"):
        for cell in grid.members(kind):
            key = cell.partition_key
            assert grid.cell_of(None if key is None else str(key)) == cell


def test_the_grid_is_every_size_with_every_arm():
    grid = grid_of(train_sizes=[64, 8])
    assert grid.sizes == [Cell(8), Cell(64)]
    assert grid.cells == [Cell(8, "masked"), Cell(8, "unmasked"), Cell(64, "masked"), Cell(64, "unmasked")]
    assert grid.members("none") == [Cell()]
    assert sorted(grid.by_cell.get_partition_keys()) == ["masked|64", "masked|8", "unmasked|64", "unmasked|8"]
    assert sorted(str(cell.partition_key) for cell in grid.cells) == sorted(grid.by_cell.get_partition_keys())


def test_partition_definitions_by_kind():
    grid = grid_of(train_sizes=[8])
    assert grid.partitions("none") is None
    assert grid.partitions("size") == dg.StaticPartitionsDefinition(["8"])
    assert grid.partitions("cell") == dg.MultiPartitionsDefinition(
        {
            "arm": dg.StaticPartitionsDefinition(["masked", "unmasked"]),
            "train_size": dg.StaticPartitionsDefinition(["8"]),
        }
    )


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
    place = Store(root).place("teacher_model", Cell(size, arm))
    assert place.resolve() == place
    assert place.relative_to(root).parts == ("teacher_model", str(size), arm)


@given(arm=st.from_regex(NAME, fullmatch=True), size=st.integers(1, 10**9))
def test_every_accepted_arm_makes_a_key_that_is_read_back(arm, size):
    grid = grid_of(train_sizes=[size], prompt_loss={arm: 0.5})
    cell = Cell(size, arm)
    assert grid.cell_of(str(cell.partition_key)) == cell
    assert grid.parse(cell.label) == cell


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/abs", "a\n", "a|b", "ä", "-x"])
def test_names_that_would_leave_the_store_are_refused(name):
    with pytest.raises(ValueError, match="use letters, digits"):
        GridSettings(train_sizes=[8], prompt_loss={name: 1.0})
