"""The whole graph on a random tiny model: through real Dagster runs, as `nomad-assets run` and the UI make them.

Tests that need what a run left start from a copy of one, so that they make only what they look at.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from nomad_assets.cells import Cell, Over
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.looks import taken
from nomad_assets.status import status
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.models import TrainingRows
from nomad_assets.steps.report import MARKDOWN
from nomad_assets.steps.scores import QuestionResults
from nomad_assets.steps.seeds import SeedSubset
from nomad_assets.steps.synthesis import SyntheticCorpus
from nomad_assets.store.protocol import Store
from nomad_assets_tests.smoke_grid import SHORT, made, opened, run, write_profile

UNMASKED, MASKED = Cell(8, "unmasked"), Cell(8, "masked")
CURATION = {
    "seed_examples", "benchmark_questions", "base_model", "seed_subset", "teacher_model", "synthetic_corpus", "curated_corpus",
}  # fmt: skip


def table(store: Store, asset: str, cell: Cell, contract: type, graph) -> pl.DataFrame:
    return store.require(asset, cell).read(graph[asset].file_of(contract))


# What a run leaves.


def test_every_asset_of_every_partition_is_published(finished) -> None:
    grid = finished.grid
    for step, cell in grid.all_places():
        manifest = finished.store.require(step.name, cell).manifest
        assert manifest.version == 1 and manifest.seconds >= 0 and manifest.run_id
        parents = {f"{name}/{c.label}" for name in step.inputs for c in grid.members(grid.graph[name].over)}
        assert set(manifest.parents) <= parents and bool(manifest.parents) == bool(step.inputs)
    assert sum("done in" in line for line in finished.said) == 1 + 2 + 4 + 1


def test_nothing_is_left_in_staging(finished) -> None:
    left = (finished.store.root / ".staging").rglob("*")
    assert [p for p in left if p.is_file() and p.name != "lock"] == []


def test_the_unmasked_teacher_writes_prompts_of_the_seeds_length_and_the_masked_one_only_answers(finished) -> None:
    """The tiny model knows nothing but its seeds, so what it writes shows what it had loss on."""
    tokens = {}
    for arm in ("masked", "unmasked"):
        corpus = table(finished.store, "synthetic_corpus", Cell(16, arm), SyntheticCorpus, finished.grid.graph)
        ended = corpus.filter(pl.col("prompt_end") == "completed")
        assert ended.height / corpus.height > 0.3
        tokens[arm] = ended["prompt_tokens"].mean()
    assert tokens["unmasked"] > 2 * tokens["masked"], tokens


def test_subsets_nest_and_arms_share_their_seeds(finished) -> None:
    small, large = (table(finished.store, "seed_subset", Cell(n), SeedSubset, finished.grid.graph) for n in (8, 16))
    assert small.equals(large.head(8))
    seeds = {cell.arm: finished.store.require("teacher_model", cell).manifest.seed for cell in (MASKED, UNMASKED)}
    assert seeds["masked"] == seeds["unmasked"]


def test_scores_hold_every_question_once_and_the_report_names_all_cells(finished) -> None:
    results = table(finished.store, "student_scores", UNMASKED, QuestionResults, finished.grid.graph)
    counts = results.group_by("benchmark", "metric").len().select("len").to_series()
    assert counts.to_list() == [12] * 8
    markdown = (finished.store.require("recipe_report", Cell()) / MARKDOWN.name).read_text(encoding="utf-8")
    for cell in finished.grid.cells:
        assert cell.label in markdown
    assert "no difference shown" in markdown.lower()


def test_manifests_say_what_it_was_made_from(finished) -> None:
    store = finished.store
    teacher = store.require("teacher_model", UNMASKED).manifest
    assert teacher.parents == {
        "seed_subset/8": store.require("seed_subset", Cell(8)).manifest.artifact_id,
        "base_model/-": store.require("base_model", Cell()).manifest.artifact_id,
    }
    assert teacher.settings["prompt_loss_weight"] == 1.0
    assert teacher.settings["teacher"]["epochs"] == 40.0 and "checkpoint_minutes" not in teacher.settings["teacher"]
    assert teacher.metrics["loss_last"] < teacher.metrics["loss_first"]
    assert teacher.libraries["torch"].startswith("2.13.0")


# Runs that go on from it.


@pytest.fixture
def home(finished, dagster_home: Path) -> Path:
    """A folder in which all of the smoke grid is made already."""
    finished.copy(dagster_home / "lake")
    return dagster_home


def test_a_second_run_finds_nothing_to_do(home: Path) -> None:
    failures, said = run(write_profile(home))
    assert failures == [] and len(said) == 1 + 2 + 4 + 1 + 1
    assert all("nothing changed" in line for line in said[:-1])


def test_a_changed_setting_redoes_only_what_hangs_on_it(home: Path) -> None:
    profile = write_profile(home, keep="keep = 3")
    failures, said = run(profile, cells=["8/unmasked"], until="curated_corpus")
    assert failures == [] and "inputs: nothing changed" in said
    _, store = opened(profile)
    versions = {name: store.require(name, UNMASKED).manifest.version for name in ("synthetic_corpus", "curated_corpus")}
    assert versions == {"synthetic_corpus": 1, "curated_corpus": 2}

    assert run(profile, cells=["8/unmasked"], until="seed_subset", force=True)[0] == []
    assert store.require("seed_subset", Cell(8)).manifest.version == 2
    assert store.require("seed_subset", Cell(16)).manifest.version == 1


def test_a_teacher_that_never_ends_a_prompt_is_a_result(home: Path) -> None:
    """Nothing is kept, the student is trained on its seeds, and the report says so."""
    one_cell = "train_sizes = [8]\nprompt_loss = { masked = 0.0 }"
    profile = write_profile(home, prompt="prompt = { max_new_tokens = 1 }", train_sizes=one_cell)
    grid, store = opened(profile)
    remade = made(grid, store, "recipe_report")
    behind = ["synthetic_corpus", "curated_corpus", "corpus_profile", "student_model", "student_scores"]
    assert remade == {*(f"{name} [8/masked]" for name in behind), "recipe_report [-]"}
    assert store.require("synthetic_corpus", MASKED).manifest.metrics["attempts"] == 48
    assert store.require("curated_corpus", MASKED).manifest.metrics["kept"] == 0
    student, seeds = (store.require(*place).manifest for place in (("student_model", MASKED), ("seed_subset", Cell(8))))
    assert student.metrics["synthetic_rows"] == 0 and student.rows == seeds.rows
    markdown = (store.require("recipe_report", Cell()) / MARKDOWN.name).read_text(encoding="utf-8")
    assert (
        "could not fill its keep target: no row was kept of 8 wanted, from 0 completed rows in 48 attempts" in markdown
    )


def test_a_corpus_emptied_by_curation_is_an_error_when_students_see_nothing_else(home: Path) -> None:
    emptied = "[student]\nseeds = 0"
    profile = write_profile(home, **{"[student]": emptied, "prompt": "prompt = { max_new_tokens = 1 }"})
    failures, _ = run(profile, cells=["8/unmasked"], until="student_scores")
    (message,) = failures
    assert message.startswith("curated_corpus [8/unmasked]")
    assert "raise synthesis.target" in message and "student.seeds" in message
    _, store = opened(profile)
    versions = {name: store.require(name, UNMASKED).manifest.version for name in ("synthetic_corpus", "curated_corpus")}
    assert versions == {"synthetic_corpus": 2, "curated_corpus": 1}


def test_another_model_answers_every_prompt_as_often_as_asked(home: Path) -> None:
    answerer = 'answerer = "tiny-random"\nanswerer_chat_template = "chatml"\nresponses_per_prompt = 3'
    profile = write_profile(home, response="response = { max_new_tokens = 8 }", answerer=answerer)
    grid, store = opened(profile)
    assert made(grid, store, "synthetic_corpus", cell=Cell(16, "unmasked")) == {"synthetic_corpus [16/unmasked]"}
    corpus = table(store, "synthetic_corpus", Cell(16, "unmasked"), SyntheticCorpus, grid.graph)
    answered = corpus.filter(pl.col("prompt_end") == "completed")
    assert answered.group_by("attempt").len()["len"].unique().to_list() == [3]


def test_untrained_arms_and_replicates_go_through_the_whole_graph(home: Path) -> None:
    grid_section = (
        "train_sizes = [8]\nprompt_loss = { unmasked = 1.0 }\nreplicates = 2\n"
        "arms = { prompted = { shots = 2, synthesis = { max_attempts = 16 } }, untrained = {} }"
    )
    grid, store = opened(write_profile(home, train_sizes=grid_section))
    remade = made(grid, store, "recipe_report")
    assert not {place for place in remade if place.endswith(("[8]", "[8/unmasked]"))}, "the first replicate is reused"
    assert {f"student_scores [{cell.label}]" for cell in grid.cells if cell != UNMASKED} <= remade
    subsets = [set(table(store, "seed_subset", cell, SeedSubset, grid.graph)["id"]) for cell in grid.sizes]
    assert len(subsets) == 2 and subsets[0] != subsets[1]
    base = store.require("base_model", Cell()).manifest.files
    for arm in ("prompted", "untrained"):
        teacher, corpus = (
            store.require(name, Cell(8, arm, 1)).manifest for name in ("teacher_model", "synthetic_corpus")
        )
        assert {name: facts for name, facts in teacher.files.items() if name.startswith("model/")} == base
        assert corpus.metrics["attempts"] == (16 if arm == "prompted" else 48)
    (report,) = store.versions("recipe_report", Cell())[-1:]
    markdown = (report / MARKDOWN.name).read_text(encoding="utf-8")
    assert "8-s1/prompted" in markdown and "seed-only control, 8-s1 seeds" in markdown
    assert "prompted (the untouched model) against unmasked (prompt loss weight 1)" in markdown


def test_selections_and_controls_go_through_the_whole_graph(home: Path) -> None:
    """Each selection takes rows of the corpus that is there; each control is a student of its own."""
    size = 'train_sizes = [8]\nprompt_loss = { unmasked = 1.0 }\nselections = { high = { band = "high", keep = 2, seeds = 4, order = "seeds_last" } }'
    profile = write_profile(home, train_sizes=size)
    controls = "seeds_tuned = [1.0, 2.0]\nprompt_loss_student = 1.0\ngold = true\nshuffled = true"
    profile.write_text(f"{profile.read_text(encoding='utf-8')}\n\n[controls]\n{controls}\n", encoding="utf-8")
    failures, _ = run(profile)
    assert failures == []
    grid, store = opened(profile)
    assert [cell.label for cell in grid.members(Over.CONTROLS)] == [
        "8",
        "8@seeds_tuned",
        "8@prompt_loss_student",
        "8@gold",
    ]
    assert [cell.label for cell in grid.members(Over.SELECTIONS)] == [
        "8/unmasked",
        "8/unmasked@high",
        "8/unmasked@shuffled",
    ]
    assert all(store.current(step.name, cell) for step, cell in grid.all_places())
    assert len(store.versions("synthetic_corpus", UNMASKED)) == 1, "the corpus is not written again"

    def rows(asset: str, cell: Cell) -> list[str]:
        return table(store, asset, cell, TrainingRows, grid.graph).filter("used")["id"].to_list()

    gold, tuned, alone = (
        rows("control_model", replace(Cell(8), variant=name)) for name in ("gold", "seeds_tuned", None)
    )
    assert len(gold) == 16 and gold[:8] == alone == tuned, "8 to keep, so 8 more"
    epochs = store.require("control_model", Cell(8, variant="seeds_tuned")).manifest.metrics
    assert epochs["epochs"] in (1.0, 2.0) and epochs["steps"] == epochs["epochs"]
    loss = store.require("control_model", Cell(8, variant="prompt_loss_student")).manifest.metrics
    assert loss["prompt_loss_weight"] == 1.0
    high = rows("student_model", Cell(8, "unmasked", 0, "high"))
    assert [row in alone for row in high] == [True] * 4 + [False] * (len(high) - 4) and 5 <= len(high) <= 6
    judged = {
        name: table(store, "curated_corpus", Cell(8, "unmasked", 0, name), CuratedCorpus, grid.graph)
        for name in (None, "high", "shuffled")
    }
    assert judged[None].equals(judged["shuffled"]) and not judged[None].equals(judged["high"])
    markdown = (store.require("recipe_report", Cell()) / MARKDOWN.name).read_text(encoding="utf-8").replace("\\", "")
    for words in (
        "8/unmasked@high",
        "control gold, 8 seeds",
        "What each control tells:",
        "the ceiling",
        "control shuffled",
    ):
        assert words in markdown, words
    failures, said = run(profile)
    assert failures == [] and not any("done in" in line for line in said), "nothing is made again"


def test_replicates_end_once_the_answer_is_settled(home: Path) -> None:
    size = "train_sizes = [8]\nprompt_loss = { unmasked = 1.0 }\nreplicates = { start = 5, most = 6 }"
    profile = write_profile(home, train_sizes=size)
    failures, said = run(profile)
    assert failures == []
    grid, store = opened(profile)
    looks = taken(grid, store)
    ends = looks[-1].look.replicates if looks[-1].ends else 6
    scored = {cell.replicate for asset, cell in store.places() if asset == "student_scores" and cell.train_size == 8}
    assert scored == set(range(ends)) and (ends == 6 or any("not needed, settled after 5" in line for line in said))
    assert [line for line in said if "5 replicates" in line or "grid 8-s4" in line] or ends == 6
    assert {state.state for state in status(grid, store)} <= {"current", "not needed"}
    markdown = (store.require("recipe_report", Cell()) / MARKDOWN.name).read_text(encoding="utf-8")
    assert "The answer was looked at" in markdown and "Missing cells" not in markdown
    failures, said = run(profile)
    assert failures == [] and not any("done in" in line for line in said), "the same look comes to the same decision"


# Runs in an empty store.


def test_until_makes_only_what_is_needed_and_another_store_gets_the_same_content(finished, dagster_home: Path) -> None:
    profile = write_profile(dagster_home)
    failures, _ = run(profile, cells=["8/unmasked"], until="curated_corpus")
    assert failures == []
    grid, store = opened(profile)
    assert {asset for asset, _ in store.places()} == CURATION
    assert {cell for _, cell in store.places()} == {Cell(), Cell(8), UNMASKED}
    for name in ("teacher_model", "synthetic_corpus", "curated_corpus"):
        here, there = (s.require(name, UNMASKED).manifest.content_digest for s in (finished.store, store))
        assert here == there, name
    judged = table(store, "curated_corpus", UNMASKED, CuratedCorpus, grid.graph)
    assert judged.height == table(store, "synthetic_corpus", UNMASKED, SyntheticCorpus, grid.graph).height


def test_a_killed_run_goes_on_where_it_was(dagster_home: Path) -> None:
    """SIGKILL in the middle of a teacher; the next run continues from its checkpoint and ends like an uninterrupted one."""
    profile = write_profile(dagster_home, epochs="epochs = 60\ncheckpoint_minutes = 0.0")
    arguments = ["run", "-p", str(profile), "--cell", "8/unmasked", "--until", "teacher_model"]
    command = [sys.executable, "-m", "nomad_assets.cli", *arguments]
    process = subprocess.Popen(
        command, cwd=dagster_home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()
    )
    _, store = opened(profile)
    while not list((store.root / ".staging/teacher_model").glob("**/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before a checkpoint was written"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.current("teacher_model", UNMASKED) is None

    done = subprocess.run(command, cwd=dagster_home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    teacher = store.require("teacher_model", UNMASKED).manifest
    assert teacher.metrics["resumed_from_step"] > 0
    assert teacher.metrics["steps"] == 60


def test_a_size_larger_than_the_pool_fails_its_cells_and_leaves_the_others(dagster_home: Path) -> None:
    profile = write_profile(dagster_home, train_sizes="train_sizes = [8, 5000]")
    failures, _ = run(profile, until="seed_subset")
    (message,) = failures
    assert "seed_subset [5000]" in message and "5000 is larger than the seed pool of" in message
    _, store = opened(profile)
    assert store.current("seed_subset", Cell(8)) is not None
    assert store.current("seed_subset", Cell(5000)) is None


def test_the_report_waits_for_a_cell(dagster_home: Path) -> None:
    grid, store = opened(write_profile(dagster_home, **SHORT))
    with pytest.raises(NomadError, match=r"^recipe_report \[-\]: no cell of the grid has student_scores yet"):
        made(grid, store, "recipe_report", cell=Cell())
    assert store.current("recipe_report", Cell()) is None


def test_failures_reach_dagster_as_tables(tmp_path: Path) -> None:
    """A row that breaks the contract: the run fails without retries, with the rows in the failure's metadata."""
    (tmp_path / "bad.jsonl").write_text('{"prompt": "p", "response": "r"}\n{"prompt": "q"}\n', encoding="utf-8")
    profile = write_profile(tmp_path, sources='sources = [\n  { path = "bad.jsonl" },')
    definitions = build_definitions(profile)
    with dg.instance_for_test() as instance:
        result = definitions.resolve_job_def("own_inputs").execute_in_process(
            instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey(["own", "seed_examples"])]
        )
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "bad.jsonl row 2" in description and "accepted: prompt + response" in description
