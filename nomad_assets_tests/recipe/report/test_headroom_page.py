"""What the page says of planted worlds: the verdict first, then the numbers it rests on, and nothing that they do not carry."""

import re
from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.headroom.findings import Findings
from nomad_assets.recipe.report.blocks import Section
from nomad_assets.recipe.report.headroom_answer import answer as opening
from nomad_assets.recipe.report.headroom_page import Facts, Page, build_page
from nomad_assets.recipe.report.markdown import markdown_page
from nomad_assets_tests.recipe.headroom.worlds import FLAT, RISING, World

FACTS = Facts("own", 2e-4, 30, 200, 26, 3000.0)


def page(world: World) -> Page:
    return build_page(Findings(world.scores(), 0.05), FACTS)


def answer(world: World) -> str:
    """The first section, without the marks of Markdown."""
    text = markdown_page("", "", [Section("The answer", opening(Findings(world.scores(), 0.05)))])
    text = text.partition("## The answer")[2]
    return " ".join(text.replace("**", "").replace("\\", "").split())


def test_worth_trying_stands_first_with_its_interval_and_what_was_compared() -> None:
    said = answer(RISING)
    points = r"\+\d+\.\d points \(95% interval \+\d+\.\d to \+\d+\.\d\)"
    assert re.match(rf"Worth trying: more rows still help\. 200 gold rows against 100: {points}\. Models of", said), (
        said
    )
    assert re.search(
        rf"By both measures, 200 rows against 100: {points} and \+0\.\d+ nats per token \(95% interval", said
    ), said
    assert "120 dev questions of a and b, and no test question" in said
    assert "60 of 60 clusters in a and 60 of 60 clusters in b" in said


def test_do_not_bother_says_what_is_ruled_out_and_what_to_run_instead() -> None:
    said = answer(FLAT)
    assert (
        said.startswith("Do not bother: the score has stopped rising. 200 gold")
        and "A gain of 5 points is ruled out" in said
    )
    assert "nomad-assets run --until control_scores" in said
    assert "Training itself is not shown to work" not in said


def test_training_that_does_nothing_is_said_before_anything_else_is_tried() -> None:
    said = answer(replace(FLAT, rows=(0.4, 0.4, 0.4, 0.4)))
    assert "Training itself is not shown to work here" in said


def test_a_ceiling_is_said_as_one() -> None:
    said = answer(World(rows=(0.5, 1.2, 1.2, 1.2), wrong=(1.2, 1.2)))
    assert said.startswith("Do not bother: 100.0% of the answers are right already (95% interval from 100.0%).")


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (replace(RISING, replicates=1), ["one replicate cannot tell more data from luck", "replicates = 5 under [headroom]"]),
        (replace(FLAT, replicates=3), ["with 3 replicates only large effects are called", "only effects of 10 points or 0.200 nats"]),
        (replace(RISING, clusters=4), ["the dev questions are 4 clusters, too few to tell anything from", "benchmarks.NAME.dev"]),
        (replace(FLAT, luck=0.08, questions=40, clusters=40), ["neither a rise nor its end at 5 points is shown", "benchmarks.NAME.dev"]),
    ],
    ids=["one replicate", "few replicates", "few clusters", "noise"],
)  # fmt: skip
def test_cannot_tell_says_why_and_what_would_tell(world: World, words: list[str]) -> None:
    said = answer(world)
    assert said.startswith("Cannot tell: ")
    for expected in words:
        assert expected in said


def test_the_next_step_follows_what_verification_shows() -> None:
    assert "Let answers vote" in answer(replace(RISING, majority=0.75))
    harvested = answer(RISING)
    assert "write a verifier" in harvested and "a program that recognises a right answer would find more" in harvested
    assert "name a better one to answer (synthesis.answerer)" in answer(replace(RISING, any_right=0.62))


def test_the_precision_that_pays_is_said_only_where_it_is_shown() -> None:
    shown = answer(replace(RISING, wrong=(0.5, 0.25)))
    assert re.search(
        r"Read as 100 gold rows with 100 more, the added rows help when 50% of them are right \(.*\) and hurt when 0%",
        shown,
    )
    open_ = answer(replace(RISING, wrong=(0.4, 0.4), luck=0.001))
    assert "no precision is shown to pay or to cost: where it breaks even cannot be told" in open_


def test_the_page_has_a_figure_and_a_table_for_every_curve() -> None:
    made = page(RISING)
    assert made.verdict == "worth trying"
    assert made.html.count("<figure>") == 5 and made.html.count("<caption>") == 6
    for heading in ("Does the score still rise", "Can verification help", "How right must rows be", "Settings"):
        assert f"## {heading}" in made.markdown
    agreeing = [line for line in made.markdown.splitlines() if line.startswith("| 8 of 8 |")]
    assert len(agreeing) == 1 and "1.00" in agreeing[0]


def test_without_wrong_rows_and_without_the_base_the_page_still_stands() -> None:
    scores = RISING.scores().filter(
        (pl.col("curve") != "wrong") & ~((pl.col("curve") == "rows") & (pl.col("point") == 0))
    )
    made = build_page(Findings(scores, 0.05), FACTS)
    assert "headroom.wrong is empty" in made.markdown and "untouched base" not in made.markdown


def test_a_benchmark_that_has_no_right_answers_is_read_by_log_probability() -> None:
    scores = RISING.scores().filter(pl.col("metric") == "answer_logprob")
    made = build_page(Findings(scores, 0.05), FACTS)
    assert made.verdict == "worth trying" and "nothing to vote on" in made.markdown
