"""Cells and Dagster's partition keys, both ways."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.cells import Cell, Over
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.names import NAME
from nomad_assets.profile.grid_settings import GridSettings
from nomad_assets.profile.load import load_profile
from nomad_assets.wiring.partitions import Partitions, partition_key

SMOKE = load_profile("smoke")


def partitions_of(**settings) -> Partitions:
    return Partitions(Grid(SMOKE.model_copy(update={"grid": GridSettings(**settings)})))


def test_the_worked_example():
    assert partition_key(Cell(64, "unmasked")) == "unmasked|64"
    assert partition_key(Cell(64, "unmasked", 1)) == "unmasked|64-s1"
    assert partition_key(Cell(64)) == "64" and partition_key(Cell(64, None, 1)) == "64-s1"
    assert partition_key(Cell()) is None


def test_keys_and_cells_both_ways():
    partitions = partitions_of(train_sizes=[64, 8], replicates=2)
    for over in Over:
        for cell in partitions.grid.members(over):
            key = partition_key(cell)
            assert partitions.cell(None if key is None else str(key)) == cell


def test_every_cell_has_a_partition():
    partitions = partitions_of(train_sizes=[64, 8])
    found = sorted(partitions.definition(Over.CELLS).get_partition_keys())
    assert found == ["masked|64", "masked|8", "unmasked|64", "unmasked|8"]
    assert found == sorted(str(partition_key(cell)) for cell in partitions.grid.cells)


def test_partition_definitions_by_what_a_step_is_made_for():
    partitions = partitions_of(train_sizes=[8])
    assert partitions.definition(Over.GRID) is None
    assert partitions.definition(Over.SIZES) == dg.StaticPartitionsDefinition(["8"])
    assert partitions.definition(Over.CELLS) == dg.MultiPartitionsDefinition(
        {
            "arm": dg.StaticPartitionsDefinition(["masked", "unmasked"]),
            "train_size": dg.StaticPartitionsDefinition(["8"]),
        }
    )


@pytest.mark.parametrize("key", ["9", "masked|9", "other|8", "|8", "masked", "8|masked", ""])
def test_a_partition_of_another_grid_is_refused_with_what_there_is(key):
    with pytest.raises(NomadError, match=r"not in this profile's grid: sizes 8, arms masked, unmasked$"):
        partitions_of(train_sizes=[8]).cell(key)


@given(arm=st.from_regex(NAME, fullmatch=True), size=st.integers(1, 10**9))
def test_every_accepted_arm_makes_a_key_that_is_read_back(arm, size):
    cell = Cell(size, arm)
    assert partitions_of(train_sizes=[size], prompt_loss={arm: 0.5}).cell(str(partition_key(cell))) == cell
