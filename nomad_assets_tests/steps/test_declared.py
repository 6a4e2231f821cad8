"""The graph as a literal: what there is, what it is made from, and what is asserted of it."""

import subprocess
import sys

import pytest

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import checks_of
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH

CELLS, SIZES, GRID = Over.CELLS, Over.SIZES, Over.GRID
# Asset: (what it reads, what it is made once for, group, whether it needs the accelerator).
DECLARED = {
    "seed_examples": (set(), GRID, "inputs", False),
    "benchmark_questions": (set(), GRID, "inputs", False),
    "base_model": (set(), GRID, "inputs", False),
    "seed_subset": ({"seed_examples"}, SIZES, "inputs", False),
    "teacher_model": ({"seed_subset", "base_model"}, CELLS, "teachers", True),
    "synthetic_corpus": ({"teacher_model"}, CELLS, "corpora", True),
    "curated_corpus": (
        {"synthetic_corpus", "seed_subset", "seed_examples", "benchmark_questions"}, CELLS, "corpora", False,
    ),
    "corpus_profile": ({"curated_corpus"}, CELLS, "corpora", False),
    "student_model": ({"curated_corpus", "seed_subset", "base_model"}, CELLS, "students", True),
    "student_scores": ({"student_model", "benchmark_questions"}, CELLS, "scores", True),
    "control_model": ({"seed_subset", "base_model"}, SIZES, "students", True),
    "control_scores": ({"control_model", "benchmark_questions"}, SIZES, "scores", True),
    "base_scores": ({"base_model", "benchmark_questions"}, GRID, "scores", True),
    "recipe_report": (
        {
            "student_scores", "control_scores", "base_scores", "corpus_profile", "curated_corpus", "synthetic_corpus",
            "teacher_model", "student_model", "seed_examples",
        },
        GRID, "report", False,
    ),
}  # fmt: skip
CONTRACT, FILES = "stored_tables_keep_their_contract", "stored_files_match_their_manifest"
MODEL_CHECKS = {CONTRACT, FILES, "every_row_has_a_supervised_token"}
SCORE_CHECKS = {CONTRACT, FILES, "every_question_is_scored_once"}
CHECKS = {
    "seed_examples": {CONTRACT, FILES},
    "benchmark_questions": {CONTRACT, FILES},
    "base_model": {FILES},
    "seed_subset": {CONTRACT, FILES, "subset_has_its_size_and_nests"},
    "teacher_model": {*MODEL_CHECKS, "teacher_loss_fell"},
    "synthetic_corpus": {CONTRACT, FILES, "teacher_ends_its_prompts"},
    "curated_corpus": {
        CONTRACT, FILES, "no_kept_row_holds_a_benchmark_question", "few_rows_copy_seeds", "corpus_is_filled_to_its_target",
    },
    "corpus_profile": {CONTRACT, FILES},
    "student_model": MODEL_CHECKS,
    "control_model": MODEL_CHECKS,
    "student_scores": {*SCORE_CHECKS, "student_is_not_worse_than_the_base_model"},
    "control_scores": SCORE_CHECKS,
    "base_scores": SCORE_CHECKS,
    "recipe_report": {CONTRACT, FILES},
}  # fmt: skip
STAGES = [
    {"seed_examples", "benchmark_questions", "base_model", "base_scores"},
    {"seed_subset", "control_model", "control_scores"},
    {"teacher_model", "synthetic_corpus", "curated_corpus", "corpus_profile", "student_model", "student_scores"},
    {"recipe_report"},
]


def test_the_graph() -> None:
    assert {n: (set(s.inputs), s.over, s.group, s.heavy) for n, s in GRAPH.items()} == DECLARED


def test_the_checks() -> None:
    found = {name: [check.name for check in checks_of(step)] for name, step in GRAPH.items()}
    assert {name: set(names) for name, names in found.items()} == CHECKS
    assert all(len(set(names)) == len(names) for names in found.values())


def test_the_stages_in_which_steps_run() -> None:
    assert [{step.name for step in stage} for stage in GRAPH.stages()] == STAGES


def test_every_step_and_every_check_is_described() -> None:
    for step in GRAPH.values():
        first, _, rest = step.description.partition("\n")
        assert first.strip().endswith((".", ":")) or rest, step.name
        assert all(check.description for check in checks_of(step)), step.name


def test_what_is_read_is_what_parents_declare() -> None:
    for step in GRAPH.values():
        for parent, read in step.inputs.items():
            assert set(read.tables) <= set(GRAPH[parent].tables.values()), f"{step.name} of {parent}"
            assert set(read.files) <= set(GRAPH[parent].files), f"{step.name} of {parent}"
            for table, view in read.tables.items():
                assert set(view.columns or ()) <= set(table.to_schema().columns), f"{step.name} of {parent}"


# Parents.


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid(load_profile("smoke"))


def places(grid: Grid, name: str, cell: Cell) -> set[tuple[str, str]]:
    return {(parent, place.label) for parent, place in grid.places(GRAPH[name], cell)}


def test_a_step_reads_its_own_cell(grid: Grid) -> None:
    assert places(grid, "student_model", Cell(8, "masked")) == {
        ("curated_corpus", "8/masked"), ("seed_subset", "8"), ("base_model", "-"),
    }  # fmt: skip
    assert places(grid, "curated_corpus", Cell(16, "unmasked")) == {
        ("synthetic_corpus", "16/unmasked"), ("seed_subset", "16"), ("seed_examples", "-"), ("benchmark_questions", "-"),
    }  # fmt: skip


def test_a_step_of_one_size_reads_its_own_size(grid: Grid) -> None:
    assert places(grid, "seed_subset", Cell(16)) == {("seed_examples", "-")}
    assert places(grid, "control_scores", Cell(8)) == {("control_model", "8"), ("benchmark_questions", "-")}


def test_a_step_of_the_whole_grid_reads_all_of_it(grid: Grid) -> None:
    cells = {"8/masked", "8/unmasked", "16/masked", "16/unmasked"}
    of_cells = DECLARED["recipe_report"][0] - {"control_scores", "base_scores", "seed_examples"}
    assert places(grid, "recipe_report", Cell()) == {
        *((name, cell) for name in of_cells for cell in cells),
        ("control_scores", "8"), ("control_scores", "16"), ("base_scores", "-"), ("seed_examples", "-"),
    }  # fmt: skip
    assert places(grid, "seed_examples", Cell()) == set()


HEAVY = (
    "torch", "transformers", "altair", "vl_convert", "sentence_transformers", "lm_eval", "vllm", "datasets", "duckdb", "mlflow",
    "openlineage", "huggingface_hub", "dagster",
)  # fmt: skip


def test_declarations_import_nothing_heavy_and_no_dagster() -> None:
    code = "import sys, nomad_assets.steps; print([name for name in sys.argv[1:] if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
