"""Sizes, arms and cells of a grid, and their labels, both ways."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.plan import plan, serves
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


def test_arms_have_the_profiles_settings_and_their_prompt_loss():
    teacher, synthesis = SMOKE.teacher, SMOKE.synthesis
    assert grid_of(train_sizes=[8]).arms == {
        "masked": Arm(0.0, 0, teacher, synthesis), "unmasked": Arm(1.0, 0, teacher, synthesis),
    }  # fmt: skip


def test_an_arm_changes_settings_of_its_own():
    arms = {
        "unmasked": {"teacher": {"epochs": 9.0}, "synthesis": {"prompt": {"temperature": 0.5}}},
        "prompted": {"shots": 8}, "untrained": {},
    }  # fmt: skip
    found = grid_of(train_sizes=[8], arms=arms).arms
    assert list(found) == ["masked", "unmasked", "prompted", "untrained"]
    assert found["masked"].teacher == SMOKE.teacher
    prompt = SMOKE.synthesis.prompt.model_copy(update={"temperature": 0.5})
    assert found["unmasked"] == Arm(
        1.0, 0, SMOKE.teacher.model_copy(update={"epochs": 9.0}), SMOKE.synthesis.model_copy(update={"prompt": prompt})
    )
    assert found["prompted"] == Arm(None, 8, None, SMOKE.synthesis)
    assert found["untrained"] == Arm(None, 0, None, SMOKE.synthesis)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"few": {"shots": 9}}, "arm 'few': shots = 9, and the smallest train size has 8 seed examples"),
        ({"both": {"shots": 2, "prompt_loss": 1.0}}, "arm 'both': `shots` are for the untrained model"),
        ({"idle": {"teacher": {"epochs": 1.0}}}, "arm 'idle': `teacher` changes training, which an arm without"),
        ({"masked": {"prompt_loss": 0.5}}, "arm 'masked': prompt_loss is given twice, 0.0 and 0.5"),
        ({"Masked": {}}, "differ only in upper and lower case"),
    ],
)
def test_an_impossible_arm_is_refused(arms, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        grid_of(train_sizes=[8], arms=arms)


def test_the_first_replicate_has_the_plain_name():
    grid = grid_of(train_sizes=[8, 16], prompt_loss={"half": 0.5}, replicates=2)
    assert [cell.label for cell in grid.sizes] == ["8", "16", "8-s1", "16-s1"]
    assert [cell.label for cell in grid.cells] == ["8/half", "16/half", "8-s1/half", "16-s1/half"]


def test_replicates_that_are_added_leave_the_first_ones_artifacts(finished):
    grid = Grid(changed(finished.grid.profile, "grid.replicates", 2))
    for step, cell in finished.grid.all_places():
        now = plan(step, cell, grid, finished.store)
        assert serves(finished.store.require(step.name, cell), now.wanted, now.withdrawals) == (
            step.name != "recipe_report"
        ), step.name


def test_replicates_have_seeds_of_their_own_and_arms_of_one_replicate_share_them():
    grid = grid_of(train_sizes=[8], replicates=2)
    seeds = {cell.label: grid.seed("teacher_model", cell) for cell in grid.cells}
    assert seeds["8/masked"] == seeds["8/unmasked"] and seeds["8-s1/masked"] == seeds["8-s1/unmasked"]
    assert len(set(seeds.values())) == 2
    assert len({grid.seed("control_model", cell) for cell in grid.sizes}) == 2


def test_the_worked_example():
    cell = Cell(64, "unmasked", 1)
    assert cell in grid_of(train_sizes=[64], replicates=2).cells
    assert cell.path == PurePosixPath("64-s1/unmasked")
    assert cell.label == "64-s1/unmasked"


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
    of_another = Cell(8, "masked", 1)
    assert Cell(8, None, 1).covers(of_another) and not Cell(8).covers(of_another)


def test_a_cell_has_labels():
    grid = grid_of(train_sizes=[8], prompt_loss={"half": 0.5}, replicates=2)
    assert grid.labels(Cell(8, "half", 1)) == {"train_size": 8, "replicate": 1, "arm": "half", "prompt_loss": 0.5}
    assert grid.labels(Cell(8)) == {"train_size": 8, "replicate": 0, "arm": None, "prompt_loss": None}
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
