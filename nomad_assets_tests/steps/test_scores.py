"""Scores: contracts and checks."""

import shutil

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.steps.scores import QuestionResults, Scores
from nomad_assets_tests.damaged import CELL, Damaged
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    QuestionResults,
    ("question_id", "q2", "every_question_once_per_metric"),
    ("value", 1.1, "local_scores_are_shares_and_log_probabilities_negative"),
    ("value", -0.1, "local_scores_are_shares_and_log_probabilities_negative"),
    ("value", float("nan"), "local_scores_are_shares_and_log_probabilities_negative"),
    ("metric", "answer_logprob", "local_scores_are_shares_and_log_probabilities_negative"),
)
def test_the_results_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(
    Scores,
    ("n", 0, "greater_than_or_equal_to(1)"),
    ("low", 0.6, "interval_holds_the_mean"),
    ("high", 0.4, "interval_holds_the_mean"),
    ("mean", float("nan"), "interval_holds_the_mean"),
)
def test_the_scores_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_questions_missing_twice_unknown_and_out_of_range(damaged: Damaged) -> None:
    name, scores = "every_question_is_scored_once", damaged.store.require("student_scores", CELL)
    assert damaged.finding("student_scores", CELL, name).passed
    results = pl.read_parquet(scores / "results.parquet")
    question = results["question_id"][0]

    def problems(table: pl.DataFrame) -> set[str]:
        table.write_parquet(scores / "results.parquet")
        return {row["problem"] for row in damaged.finding("student_scores", CELL, name).rows}

    assert problems(results.filter(pl.col("question_id") != question)) == {"not scored"}
    assert problems(pl.concat([results, results.head(1)])) == {"answered 2 times"}
    renamed = (
        pl.when(pl.col("question_id") == question).then(pl.lit("other")).otherwise("question_id").alias("question_id")
    )
    assert problems(results.with_columns(renamed)) == {"not scored", "not a question of the benchmark"}
    exact = pl.col("metric") == "exact_match"
    assert problems(results.with_columns(pl.when(exact).then(1.5).otherwise("value").alias("value"))) == {
        "outside [0, 1]"
    }
    results.write_parquet(scores / "results.parquet")
    damaged.change("student_scores", CELL, "responses.parquet", question_id=question)
    damaged.assert_fails("student_scores", CELL, name, "not answered", rows=23)


def test_a_student_below_the_base_model(damaged: Damaged) -> None:
    for asset, cell, value in (("base_scores", Cell(), 1.0), ("student_scores", CELL, 0.0)):
        scored = pl.when(metric="exact_match").then(value).otherwise("value").alias("value")
        damaged.change(asset, cell, "results.parquet", scored)
    name = "student_is_not_worse_than_the_base_model"
    said = "-100.0 points against the base model (95% interval -100.0 to -100.0)"
    damaged.assert_fails("student_scores", CELL, name, said)
    for asset, cell in (("base_scores", Cell()), ("student_scores", CELL)):
        task = pl.when(metric="exact_match").then(pl.lit("exact_match_strict-match")).otherwise("metric")
        damaged.change(asset, cell, "results.parquet", task.alias("metric"))
    damaged.assert_fails("student_scores", CELL, name, "-100.0 points against")  # as gsm8k of lm-evaluation-harness
    shutil.rmtree(damaged.store.root / "base_scores")
    assert "nothing to compare with" in damaged.finding("student_scores", CELL, name).text
