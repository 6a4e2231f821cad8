"""Verdicts: equivalent only where the whole interval lies within the margin."""

from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.report.comparisons import Findings
from nomad_assets.recipe.report.report import build_report
from nomad_assets.recipe.report.report_data import ReportData
from nomad_assets_tests.recipe.report.planted_data import make_data, make_scores

EQUIVALENT = "equivalent within 3 points"


def alike(replicates: int, questions: int = 400) -> ReportData:
    """Students and controls that are right on the same questions, but for a few of each replicate."""
    data = make_data(
        sizes=(16,),
        replicates=replicates,
        benchmarks={"trivia": "triviaqa"},
        right=lambda model: 0.3,
        questions=questions,
    )
    number = pl.col("question_id").str.slice(1).cast(pl.Int64)
    placed = pl.col("replicate").fill_null(0) * 7 + pl.col("arm").fill_null("").str.len_chars()
    results = data.results.with_columns(
        value=pl.when(metric="exact_match")
        .then((number % 3 == 0) ^ (number % 97 == placed))
        .otherwise("value")
        .cast(float)
    )
    return replace(data, results=results, scores=make_scores(results))


def head(data: ReportData) -> dict:
    row = Findings(data).comparisons.filter(
        pl.col("train_size").is_null() & pl.col("benchmark").is_null(), a="unmasked", b="masked", measure="primary"
    )
    return row.row(0, named=True)


@pytest.fixture(scope="module")
def close() -> ReportData:
    return alike(5)


def test_an_interval_within_the_margin_is_equivalent(close):
    row = head(close)
    assert -0.03 < row["low"] <= 0 <= row["high"] < 0.03 and row["verdict"] == EQUIVALENT


def test_an_interval_that_leaves_the_margin_is_no_difference_shown(close):
    narrow = max(-head(close)["low"], head(close)["high"])
    assert head(replace(close, margin=narrow * 0.99))["verdict"] == "no difference shown"
    assert head(replace(close, margin=narrow * 1.01))["verdict"].startswith("equivalent within ")


def test_few_replicates_stay_open_and_one_shows_no_equivalence():
    assert head(alike(3))["verdict"] == "open"
    assert head(alike(1))["verdict"] == "no difference shown"


def test_the_page_says_equivalent_first_and_never_equal(close):
    report = build_report(close)
    assert report.markdown.split("## The answer")[1].lstrip().startswith("**No: students of 16/")
    assert f"are {EQUIVALENT} to students of the same 16 seed examples alone" in report.markdown
    assert "leaves open how large a difference there may be" in report.markdown and "equal to" not in report.markdown


def test_a_difference_in_nats_is_never_equivalent(close):
    found = Findings(close).comparisons
    assert EQUIVALENT not in set(found.filter(pl.col("unit") != "share")["verdict"])


def test_p_by_sign_flips_is_printed_for_means_over_benchmarks_alone():
    report = build_report(make_data(sizes=(16,), replicates=5))
    rows = report.markdown.split("unmasked against masked\n")[1].split("\n\n")[0].strip().splitlines()
    assert rows[0].split("|")[-2].strip() == "p by sign flips"
    assert [line.split("|")[-2].strip() for line in rows[2:]] == ["–", "–", "0.062"]
    assert "p by sign flips |" not in build_report(make_data(sizes=(16,))).markdown
