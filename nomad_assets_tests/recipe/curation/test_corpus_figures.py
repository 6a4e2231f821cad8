"""Figures of a corpus that a reader acts on: how many kept rows can be right, and how far answers agreed."""

import polars as pl
import pytest

from nomad_assets.recipe.curation.corpus_figures import corpus_metrics

FALSE, TRUE = "2 + 3 = 6\n#### 6", "2 + 3 = 5\n#### 5"


def curated(*rows: tuple[int, str, str, float]) -> pl.DataFrame:
    """Of (attempt, response, verdict, agreement)."""
    table = pl.DataFrame(list(rows), schema=["attempt", "response", "verdict", "agreement"], orient="row")
    return table.with_columns(
        pl.lit("What is 2 apples and 3 apples?").alias("prompt"), prompt_end=pl.lit("completed"), response_end=pl.lit("completed"),
        normsim_2=0.5, novelty=0.5, prompt_tokens=7, response_tokens=11,
    )  # fmt: skip


def test_only_kept_rows_without_a_false_calculation_are_without_error():
    metrics = corpus_metrics(curated((0, TRUE, "kept", 1.0), (1, FALSE, "kept", 1.0), (2, TRUE, "dropped", 1.0)))
    assert (metrics["kept"], metrics["kept_without_error"]) == (2, 1)


def test_agreement_is_of_kept_rows_and_of_prompts_with_several_responses():
    several = [(0, TRUE, "kept", 0.5), (0, FALSE, "dropped", 0.5), (1, TRUE, "kept", 1.0), (1, TRUE, "dropped", 1.0)]
    assert corpus_metrics(curated(*several))["agreement_kept"] == pytest.approx(0.75)
    assert corpus_metrics(curated((0, TRUE, "kept", 1.0)))["agreement_kept"] is None


def test_the_tokens_of_a_prompt_count_once_however_many_responses_it_has():
    metrics = corpus_metrics(curated((0, TRUE, "kept", 1.0), (0, FALSE, "dropped", 1.0)))
    assert (metrics["prompt_tokens"], metrics["response_tokens"]) == (7, 22)
