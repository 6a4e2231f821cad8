"""What counts beside the keys of a profile, which test_fingerprints.py has: withdrawals, arms and replicates, and what never does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from nomad_assets.engine.fingerprint import flat, settings_of
from nomad_assets.grid import Grid
from nomad_assets.profile.fields import Operational, Section
from nomad_assets.steps import GRAPH
from nomad_assets_tests.steps.profile_files import CELLS, ProfileFiles

NOTHING: set[str] = set()
POOL = {"seed_examples", "base_model"}  # the tiny model's tokenizer is trained on the seeds
QUESTIONS = {"benchmark_questions", "seed_examples"}  # no seed may be a question
SCORES = {"student_scores", "control_scores", "base_scores"}
TRAINED = {"teacher_model", "student_model", "control_model"}
STUDENTS = {"student_model", "control_model"}
REPORT = {"recipe_report"}
ALL = set(GRAPH)


def test_no_operational_key_is_in_any_fingerprint(files: ProfileFiles) -> None:
    """Neither under its name nor under another."""
    names = {name for section in _operational(Operational) for name in section.model_fields}
    assert {"license", "batch_size", "checkpoint_minutes", "fsdp", "address", "fresh_days"} <= names
    grid = files.grid()
    counted = {"batch_size"}  # of training, where it decides about the content
    for name, step in GRAPH.items():
        settings = settings_of(step.config.of(grid, CELLS[step.over], {}))
        found = {key.rpartition(".")[2] for key, _ in flat(settings)} & names
        assert found <= (counted if name in {*TRAINED, "headroom_scores"} else NOTHING), name


def _operational(section: type[Section]) -> Iterator[type[Section]]:
    for inner in section.__subclasses__():
        if inner.__bases__ == (Operational,) and inner.__module__.startswith("nomad_assets."):
            yield inner


# What lies outside the profile.


def test_a_profile_that_moves_with_its_files_makes_nothing_again(files: ProfileFiles, tmp_path: Path) -> None:
    before = files.fingerprints()
    moved = tmp_path / "elsewhere" / files.folder.name  # rows are said to come from the folder that holds their file
    moved.mkdir(parents=True)
    other = ProfileFiles(moved)
    for name in ("seeds.jsonl", "questions.jsonl"):
        shutil.copy(files.folder / name, moved / name)
    assert other.fingerprints() == before


def test_withdrawn_rows_count_where_seeds_are_read_alone(files: ProfileFiles) -> None:
    rows = {"a" * 16: {"source": "seeds.jsonl", "key": ""}}

    def told(name: str, withdrawn: dict) -> object:
        step = GRAPH[name]
        return settings_of(step.config.of(files.grid(), CELLS[step.over], withdrawn))

    assert {name for name in GRAPH if told(name, rows) != told(name, {})} == POOL
    files.put("base_model.source", "model")
    assert told("base_model", rows) == told("base_model", {})


def test_arms_and_replicates_differ(files: ProfileFiles) -> None:
    files.put("grid.replicates", 2)
    grid: Grid = files.grid()
    for name in ("teacher_model", "synthetic_corpus", "student_model"):
        step = GRAPH[name]
        told = {str(settings_of(step.config.of(grid, cell, {}))) for cell in grid.cells}
        # A student's arm shows in its corpus alone, so that arms of one replicate share everything else.
        assert len(told) == (len(grid.cells) if name != "student_model" else 4), name
    for name in ("seed_subset", "control_model"):
        told = {str(settings_of(GRAPH[name].config.of(grid, cell, {}))) for cell in grid.sizes}
        assert len(told) == len(grid.sizes), name


def test_sizes_of_a_replicate_share_the_order_of_their_pool(files: ProfileFiles) -> None:
    files.put("grid.replicates", 3)
    grid: Grid = files.grid()
    orders = {cell.label: GRAPH["seed_subset"].config.of(grid, cell, {}).head.order for cell in grid.sizes}
    assert orders["8"] == orders["16"] == 0 and orders["8-s1"] == orders["16-s1"] != 0
    assert orders["8-s2"] == orders["16-s2"] and len(set(orders.values())) == 3


def test_the_first_replicate_stays_what_it_was(files: ProfileFiles) -> None:
    assert files.changed(lambda: files.put("grid.replicates", 2)) == REPORT
