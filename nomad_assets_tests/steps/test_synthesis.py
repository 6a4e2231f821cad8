"""The synthetic corpus: contract and check, and who answers."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import drift
from nomad_assets.engine.listeners import Run
from nomad_assets.engine.plan import plan
from nomad_assets.engine.runner import run
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.sections import Sampling, Verifier
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.steps.synthesis import SyntheticCorpus, synthetic_corpus
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.damaged import CELL, Damaged
from nomad_assets_tests.plugin_files import write_plugin
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    SyntheticCorpus,
    ("id", "c/000001-0", "unique"),
    ("attempt", -1, "greater_than_or_equal_to(0)"),
    ("response_index", -1, "greater_than_or_equal_to(0)"),
    ("prompt_end", "not_attempted", "isin"),
    ("prompt_end", "length", "only_proper_prompts_are_answered"),
    ("response_end", "done", "isin"),
    ("response_end", "not_attempted", "only_proper_prompts_are_answered"),
    ("agreement", 1.1, "less_than_or_equal_to(1)"),
    ("agreement", -0.1, "greater_than_or_equal_to(0)"),
    ("prompt_tokens", -1, "greater_than_or_equal_to(0)"),
    ("response_tokens", -1, "greater_than_or_equal_to(0)"),
    ("prompt_seed", -1, "greater_than_or_equal_to(0)"),
    ("response_seed", -1, "greater_than_or_equal_to(0)"),
)
def test_the_corpus_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_a_teacher_that_does_not_end_its_prompts(damaged: Damaged) -> None:
    damaged.change("synthetic_corpus", CELL, "corpus.parquet", pl.lit("length").alias("prompt_end"))
    damaged.assert_fails("synthetic_corpus", CELL, "teacher_ends_its_prompts", "0.0% of ")


# Who answers.


def answered_by(answerer: str, grid: Grid, **changes) -> Grid:
    profile = grid.profile
    synthesis = profile.synthesis.model_copy(update={"answerer": answerer, **changes})
    return Grid(profile.model_copy(update={"synthesis": synthesis}))


def run_corpus(cell: Cell, grid: Grid, store: LocalStore) -> pl.DataFrame:
    made = run(synthetic_corpus, cell, grid, store, [], Run("5a0ce5b2-0000-4000-8000-000000000000", "test"))
    return made.artifact.read("corpus.parquet")


@pytest.mark.parametrize("arm", ["masked", "unmasked"])
def test_the_control_of_a_size_answers_the_prompts_of_all_its_arms(arm: str, finished, tmp_path: Path) -> None:
    cell, store = Cell(16, arm), finished.copy(tmp_path)
    before = store.require("synthetic_corpus", cell).read("corpus.parquet")
    sampling = Sampling(max_new_tokens=24)
    corpus = run_corpus(cell, answered_by("control", finished.grid), store)
    rows = corpus.filter(prompt_end="completed")
    shared = before["attempt"].max() + 1
    texts = [table.filter(pl.col("attempt") < shared)["prompt"].to_list() for table in (before, corpus)]
    assert texts[0] == texts[1], "the teacher writes the prompts as before"
    folder = store.require("control_model", Cell(16)) / "model"
    turns = Turns(load_tokenizer(folder), "control")
    engine = TransformersEngine.load(folder, batch_size=16, pad_id=turns.pad, precision="fp32")
    asked = [
        Request(turns.response_context(turns.encode(prompt)), seed)
        for prompt, seed in rows.select("prompt", "response_seed").iter_rows()
    ]
    said = [turns.decode(one.ids) for one in engine.generate(asked, sampling, {turns.response_end})]
    assert [text.strip() for text in said] == [text.strip() for text in rows["response"]]


def without_control(finished, tmp_path: Path) -> LocalStore:
    store = finished.copy(tmp_path)
    for version in store.versions("control_model", Cell(8)):
        shutil.rmtree(version.path)
    return store


def test_a_corpus_hangs_on_the_control_only_where_that_one_answers(finished, tmp_path: Path) -> None:
    cell, store, lost = Cell(8, "unmasked"), finished.store, without_control(finished, tmp_path)
    own, common = finished.grid, answered_by("control", finished.grid)
    assert ("control_model", Cell(8)) in plan(synthetic_corpus, cell, common, store).parents
    with pytest.raises(NomadError, match="control_model"):
        plan(synthetic_corpus, cell, common, lost)
    assert plan(synthetic_corpus, cell, own, lost).wanted == plan(synthetic_corpus, cell, own, store).wanted
    manifest = store.require("synthetic_corpus", cell).manifest
    reasons = [str(change) for change in drift(manifest, plan(synthetic_corpus, cell, common, store).wanted)]
    assert reasons == ["synthesis.answerer teacher → control", "control_model [8] is new"]


def test_sampling_stops_at_what_a_verifier_of_the_profile_finds_right(finished, tmp_path: Path) -> None:
    write_plugin(tmp_path, "def even(row):\n    return len(row['response']) % 2 == 0\n")
    profile = finished.grid.profile
    curation = profile.curation.model_copy(update={"verifiers": [Verifier(use="python:mine.py:even")]})
    changed = profile.model_copy(update={"curation": curation, "folder": tmp_path})
    grid = answered_by("teacher", Grid(changed), responses_per_prompt=3, stop_at_right="even")
    corpus = run_corpus(Cell(16, "unmasked"), grid, finished.copy(tmp_path))
    answered = corpus.filter(prompt_end="completed")
    assert answered.height < 3 * answered["attempt"].n_unique()
    for rows in answered.partition_by("attempt"):
        right = [
            end == "completed" and len(text) % 2 == 0 for end, text in rows.select("response_end", "response").rows()
        ]
        assert not any(right[:-1]) and (right[-1] or len(right) == 3)
