"""The synthetic corpus: contract and check."""

import polars as pl

from nomad_assets.steps.synthesis import SyntheticCorpus
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
