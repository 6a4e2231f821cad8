"""Curated corpora and what they are like: contracts and checks."""

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.steps.curation import CuratedCorpus, NoveltyCurve, ProfileMetrics, SeedPoints
from nomad_assets_tests.damaged import CELL, Damaged
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    CuratedCorpus,
    ("verdict", "maybe", "isin"),
    ("verdict", "dropped", "kept_means_no_objection"),
    ("reason", "bored", "isin"),
    ("reason", "over_target", "kept_means_no_objection"),
    ("normsim_2", 1.01, "less_than_or_equal_to(1)"),
    ("normsim_inf", -0.01, "greater_than_or_equal_to(0)"),
    ("novelty", 2.1, "less_than_or_equal_to(2)"),
    ("novelty", -0.1, "greater_than_or_equal_to"),
    ("seed_similarity", -1.1, "greater_than_or_equal_to(-1)"),
    ("response_end", "not_attempted", "only_proper_prompts_are_answered"),
)
def test_the_contract_of_judged_rows(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(
    SeedPoints,
    ("id", "s1", "unique"),
    ("relevance", 1.1, "less_than_or_equal_to(1)"),
    ("novelty", 2.1, "less_than_or_equal_to(2)"),
)
def test_the_contract_of_seed_points(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(
    NoveltyCurve,
    ("rows", 0, "greater_than_or_equal_to(1)"),
    ("rows", 2, "unique"),
    ("novelty", 2.1, "less_than_or_equal_to(2)"),
)
def test_the_contract_of_the_novelty_curve(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(ProfileMetrics, ("metric", "relevance", "unique"))
def test_the_contract_of_figures(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_a_benchmark_question_in_the_kept_rows(damaged: Damaged) -> None:
    name = "no_kept_row_holds_a_benchmark_question"
    assert damaged.finding("curated_corpus", CELL, name).passed
    questions = pl.read_parquet(damaged.store.require("benchmark_questions", Cell()) / "questions.parquet")
    question = questions.filter(benchmark="word_problems").row(0, named=True)
    path = damaged.store.require("curated_corpus", CELL) / "curated.parquet"
    table = pl.read_parquet(path)
    row = table.filter(verdict="kept")["id"][0]
    asked = pl.when(pl.col("id") == row).then(pl.lit(question["question"])).otherwise("prompt").alias("prompt")
    table.with_columns(asked).write_parquet(path)
    damaged.assert_fails("curated_corpus", CELL, name, "1 of ", rows=1)
    (pair,) = damaged.finding("curated_corpus", CELL, name).rows
    assert (pair["id"], pair["prompt"], pair["question_id"]) == (row, question["question"], question["id"])
    table.with_columns(asked, pl.lit("dropped").alias("verdict")).write_parquet(path)
    assert damaged.finding("curated_corpus", CELL, name).passed, "what was dropped is in no student"


def test_too_many_copies_of_seeds(damaged: Damaged) -> None:
    damaged.change("curated_corpus", CELL, "curated.parquet", pl.lit("near_seed_copy").alias("reason"))
    damaged.assert_fails("curated_corpus", CELL, "few_rows_copy_seeds", "100.0% of ")


def test_copies_of_one_seed_row_are_copies_whatever_they_were_dropped_for(damaged: Damaged) -> None:
    """Curation calls the second of them a repeat of the first, and judges answers before that."""
    seed = pl.read_parquet(damaged.store.require("seed_subset", Cell(16)) / "seeds.parquet")["prompt"][0]
    path = damaged.store.require("curated_corpus", CELL) / "curated.parquet"
    table = pl.read_parquet(path).filter(response_end="completed").with_columns(reason=pl.lit("kept"))
    number = pl.int_range(pl.len())
    first = table["id"][0]
    copied = table.with_columns(
        reason=pl.when(number == 0).then(pl.lit("near_seed_copy")).when(number < 3).then(pl.lit("near_repeat"))
        .when(number == 3).then(pl.lit("wrong_arithmetic")).otherwise("reason"),
        evidence=pl.when((number > 0) & (number < 3)).then(pl.lit(first)).otherwise("evidence"),
        prompt=pl.when(number == 3).then(pl.lit(seed.upper())).otherwise(pl.lit("unlike any seed row")),
    )  # fmt: skip
    copied.write_parquet(path)
    said = f"{4 / table.height:.1%} of {table.height}"
    damaged.assert_fails("curated_corpus", CELL, "few_rows_copy_seeds", said, rows=4)


def test_a_corpus_below_its_target(damaged: Damaged) -> None:
    damaged.change("curated_corpus", CELL, "curated.parquet", verdict="dropped")
    damaged.assert_fails("curated_corpus", CELL, "corpus_is_filled_to_its_target", "0 of 8 rows were kept")
