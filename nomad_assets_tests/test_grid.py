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
from nomad_assets.profile.grid_settings import GridSettings
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
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
    assert grid.labels(Cell(8, "half", 1)) == {
        "train_size": 8,
        "replicate": 1,
        "arm": "half",
        "variant": None,
        "prompt_loss": 0.5,
    }
    assert grid.labels(Cell(8)) == {"train_size": 8, "replicate": 0, "arm": None, "variant": None, "prompt_loss": None}
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


# Selections and controls.


def grid_with(selections: dict | None = None, controls: dict | None = None, **settings) -> Grid:
    grid = {"train_sizes": [8], "prompt_loss": {"half": 0.5}, "selections": selections or {}, **settings}
    data = {**SMOKE.model_dump(), "grid": grid, "controls": controls or {}}
    return Grid(Profile.model_validate({**data, "folder": SMOKE.folder}))


def test_selections_and_controls_have_names_behind_an_at():
    grid = grid_with({"high": {"band": "high", "keep": 1}}, {"gold": True, "shuffled": True}, replicates=2)
    assert [cell.label for cell in grid.members(Over.CONTROLS)] == ["8", "8@gold", "8-s1", "8-s1@gold"]
    students = [cell.label for cell in grid.members(Over.SELECTIONS)]
    assert students[:3] == ["8/half", "8/half@high", "8/half@shuffled"] and students[3] == "8-s1/half"
    for over in Over:
        for cell in grid.members(over):
            assert Cell.of_label(cell.label) == cell == grid.place(cell.label)
    assert grid.parse("8-s1/half@high") == Cell(8, "half", 1, "high") and grid.parse("8@gold") == Cell(
        8, variant="gold"
    )


def test_a_selection_is_read_from_the_corpus_of_its_cell_and_shares_its_seeds():
    grid = grid_with({"high": {"band": "high", "keep": 1}}, {"gold": True})
    selection = Cell(8, "half", 0, "high")
    read = dict(grid.places(grid.graph["curated_corpus"], selection))
    assert read["synthetic_corpus"] == Cell(8, "half") and read["seed_subset"] == Cell(8)
    assert dict(grid.places(grid.graph["student_model"], selection))["curated_corpus"] == selection
    assert dict(grid.places(grid.graph["control_scores"], Cell(8, variant="gold")))["control_model"] == Cell(
        8, variant="gold"
    )
    cells = (Cell(8, "half"), selection, Cell(8), Cell(8, variant="gold"))
    assert len({grid.seed("student_model", cell) for cell in cells}) == 1


def test_a_selection_changes_what_it_names_alone():
    grid = grid_with({"few": {"keep": 3, "seeds": 2}})
    assert grid.profile.curation_of("few") == SMOKE.curation.model_copy(update={"keep": 3})
    assert (grid.profile.mix_of("few").seeds, grid.profile.mix_of(None).seeds) == (2, None)
    assert grid.profile.curation_of(None) == SMOKE.curation


def test_a_run_of_a_cell_comes_to_its_selections_and_to_no_other_control():
    grid = grid_with({"few": {"keep": 3}}, {"gold": True})

    def come_to(text: str, over: Over) -> list[str]:
        return [cell.label for cell in grid.members(over) if grid.comes_to(over, cell, grid.parse(text))]

    assert come_to("8/half", Over.SELECTIONS) == ["8/half", "8/half@few"] and come_to("8/half", Over.CONTROLS) == ["8"]
    assert come_to("8/half@few", Over.SELECTIONS) == ["8/half@few"] and come_to("8/half@few", Over.CELLS) == ["8/half"]
    assert come_to("8@gold", Over.CONTROLS) == ["8@gold"] and come_to("8@gold", Over.CELLS) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8/half@best", "cell '8/half@best': unknown selection 'best'; this profile has few"),
        ("8@silver", "cell '8@silver': unknown control 'silver'; this profile has gold"),
        ("9@gold", "cell '9@gold': unknown train size '9'; this profile has 8"),
    ],
)
def test_an_unknown_selection_or_control_is_refused_with_what_there_is(text, message):
    with pytest.raises(NomadError, match=re.escape(message)):
        grid_with({"few": {"keep": 3}}, {"gold": True}).parse(text)


@pytest.mark.parametrize(
    ("selections", "controls", "message"),
    [
        ({"many": {"keep": 99}}, {}, "grid.selections.many.keep = 99 can never be reached: of synthesis.target = 12 rows at most"),
        ({"odd": {"band_quantiles": [0.9, 0.1]}}, {}, "selection 'odd': the first quantile must be below the second"),
        ({"a@b": {}}, {}, "selection name 'a@b': use letters"),
        ({"shuffled": {}}, {"shuffled": True}, "a selection is named 'shuffled', which controls.shuffled makes"),
        ({}, {"seeds_tuned": [2.0]}, "give several distinct numbers of epochs to choose among"),
    ],
)  # fmt: skip
def test_an_impossible_selection_or_control_is_refused(selections, controls, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        grid_with(selections, controls)


def test_tuned_epochs_need_questions_to_be_chosen_on():
    benchmarks = {name: {**b.model_dump(), "dev": 0.0} for name, b in SMOKE.benchmarks.items()}
    data = {
        **SMOKE.model_dump(),
        "benchmarks": benchmarks,
        "controls": {"seeds_tuned": [1.0, 2.0]},
        "folder": SMOKE.folder,
    }
    with pytest.raises(ValueError, match=r"controls\.seeds_tuned chooses on dev questions, and no benchmark"):
        Profile.model_validate(data)


def test_a_run_makes_what_some_cell_reads_and_nothing_that_has_to_be_asked_for():
    grid = grid_with()
    assert grid.wanted(None) == set(grid.graph) - {"headroom_scores", "headroom_report"}
    assert "control_model" not in grid.wanted("student_model"), "each teacher of this profile answers its own prompts"
    answered = Grid(changed(SMOKE, "synthesis.answerer", "control"))
    assert "control_model" in answered.wanted("student_model")
