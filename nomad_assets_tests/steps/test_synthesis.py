"""The synthetic corpus: contract and check, and who answers."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import drift
from nomad_assets.engine.plan import plan
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.steps.synthesis import SyntheticCorpus, synthetic_corpus
from nomad_assets_tests.damaged import CELL, Damaged
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


@pytest.mark.parametrize("arm", ["masked", "unmasked"])
def test_the_control_of_a_size_answers_the_prompts_of_all_its_arms(arm: str, finished) -> None:
    cell, store = Cell(16, arm), finished.store
    corpus = store.require("synthetic_corpus", cell)
    rows = corpus.read("corpus.parquet").filter(prompt_end="completed").head(4)
    assert rows.height
    folder, settings = store.require("control_model", Cell(16)) / "model", finished.grid.arms[arm].synthesis
    turns = Turns(load_tokenizer(folder), "control")
    engine = TransformersEngine.load(
        folder, batch_size=4, pad_id=turns.pad, precision=corpus.manifest.metrics["precision"]
    )
    for prompt, response, seed in rows.select("prompt", "response", "response_seed").iter_rows():
        asked = Request(turns.response_context(turns.encode(prompt)), seed)
        (made,) = engine.generate([asked], settings.response, {turns.response_end})
        assert turns.decode(made.ids).strip() == response.strip()


def answered_by(answerer: str, grid: Grid) -> Grid:
    profile = grid.profile
    return Grid(profile.model_copy(update={"synthesis": profile.synthesis.model_copy(update={"answerer": answerer})}))


def without_control(finished, tmp_path: Path):
    store = finished.copy(tmp_path)
    for version in store.versions("control_model", Cell(8)):
        (version / "manifest.json").unlink()
    return store


def test_a_corpus_hangs_on_the_control_only_where_that_one_answers(finished, tmp_path: Path) -> None:
    cell, store, lost = Cell(8, "unmasked"), finished.store, without_control(finished, tmp_path)
    common, own = finished.grid, answered_by("teacher", finished.grid)
    assert ("control_model", Cell(8)) in plan(synthetic_corpus, cell, common, store).parents
    with pytest.raises(NomadError, match="control_model"):
        plan(synthetic_corpus, cell, common, lost)
    assert plan(synthetic_corpus, cell, own, lost).wanted == plan(synthetic_corpus, cell, own, store).wanted
    manifest = store.require("synthetic_corpus", cell).manifest
    reasons = [str(change) for change in drift(manifest, plan(synthetic_corpus, cell, own, store).wanted)]
    assert reasons == ["synthesis.answerer control → teacher", "control_model [8] has gone"]


def test_a_control_that_came_out_differently_makes_its_corpora_out_of_date(finished) -> None:
    cell, store = Cell(8, "unmasked"), finished.store
    manifest = store.require("synthetic_corpus", cell).manifest
    wanted = plan(synthetic_corpus, cell, finished.grid, store).wanted
    other = replace(wanted, reads={**wanted.reads, "control_model/8": "0" * 64}, digest="0" * 64)
    assert [str(change) for change in drift(manifest, other)] == ["control_model [8] changed"]
