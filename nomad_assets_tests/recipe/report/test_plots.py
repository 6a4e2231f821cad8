"""Figures: what is drawn, and that it is the same each time."""

import base64
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from nomad_assets.recipe.report import plots

SCORES = pl.DataFrame(
    {
        "kind": ["base", "control", "control", "student", "student", "student", "student"],
        "train_size": [None, 16, 64, 16, 64, 16, 64],
        "replicate": [None, 0, 0, 0, 0, 0, 0],
        "arm": [None, None, None, "masked", "masked", "un$masked", "un$masked"],
        "prompt_loss": [None, None, None, 0.0, 0.0, 1.0, 1.0],
        "benchmark": ["trivia"] * 7,
        "metric": ["exact_match"] * 7,
        "mean": [0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5],
        "low": [0.05, 0.15, 0.2, 0.25, 0.3, 0.3, 0.4],
        "high": [0.15, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6],
    }
)
CORPORA = pl.DataFrame(
    {
        "train_size": [16, 64, 16], "arm": ["masked", "masked", "unmasked"], "prompt_loss": [0.0, 0.0, 1.0],
        "relevance_all": [0.3, 0.4, 0.5], "relevance_kept": [0.4, 0.5, None],
        "novelty_all": [0.6, 0.5, 0.4], "novelty_kept": [0.5, 0.4, None],
    }
)  # fmt: skip
POINTS = pl.DataFrame(
    {
        "model": ["a", "a", plots.CONTROL],
        "train_size": [16] * 3,
        "replicate": [0, 1, 0],
        "x": [8, 6, 0],
        "y": [40.0, 50.0, 30.0],
    }
)
ROWS = pl.DataFrame({"arm": ["a", "b", "b"], "relevance": [0.1, 0.2, None], "novelty": [0.5, 0.4, 0.3]})


def texts(chart) -> list[str]:
    return [e.text for e in ElementTree.fromstring(plots.svg(chart)).iter() if e.tag.endswith("}text") and e.text]


def values(chart) -> list[list[dict]]:
    """The rows of each layer of a chart, in the order in which they are drawn."""
    found = json.loads(plots.specification(chart))
    return [found["datasets"][layer["data"]["name"]] for layer in found.get("layer", [found])]


CHARTS = {
    "training": lambda: plots.training_curve(pl.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})),
    "scatter": lambda: plots.relevance_against_novelty(ROWS),
    "normsim": lambda: plots.normsim_histogram(np.linspace(0.2, 0.8, 50), 0.4, 0.6),
    "novelty": lambda: plots.novelty_against_size(
        pl.DataFrame({"label": ["x", "x", "y"], "rows": [10, 20, 10], "novelty": [0.5, 0.4, 0.6]})
    ),
    "scores": lambda: plots.scores_over_sizes(SCORES, "trivia", "exact_match"),
    "students": lambda: plots.students_against(POINTS, "kept rows (rows)", "mean score (% right)"),
    "cells": lambda: plots.relevance_novelty_by_cell(CORPORA),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_the_same_each_time_and_its_axes_are_named(name):
    first, second = CHARTS[name](), CHARTS[name]()
    assert plots.svg(first) == plots.svg(second)
    assert plots.specification(first) == plots.specification(second)
    assert sum("(" in text or text.startswith(("rows", "optimizer", "novelty of")) for text in texts(first)) >= 2


@pytest.mark.parametrize("name", CHARTS)
def test_png_is_a_png(name):
    assert base64.b64decode(plots.png_base64(CHARTS[name]())).startswith(b"\x89PNG")


def test_scores_are_in_percent_with_their_intervals():
    chart = plots.scores_over_sizes(SCORES, "trivia", "exact_match")
    band, _, lines, bars, points = values(chart)
    assert (band[0]["low"], band[0]["high"]) == (5, 15)
    assert [row["mean"] for row in lines] == [30, 35, 40, 50, 20, 25]
    assert bars == points and [(row["low"], row["high"]) for row in bars][:3] == [(25, 35), (30, 40), (30, 50)]
    assert {"exact_match (%)", "16", "64"} <= set(texts(chart))


def test_every_replicate_of_a_control_is_drawn_over_the_sizes():
    again = SCORES.filter(kind="control").with_columns(replicate=pl.lit(1, pl.Int64), mean=pl.col("mean") + 0.1)
    *_, points = values(plots.scores_over_sizes(pl.concat([SCORES, again]), "trivia", "exact_match"))
    assert [row["mean"] for row in points if row["model"] == plots.CONTROL] == pytest.approx([20, 30, 25, 35])


def test_students_are_dots_and_the_mean_of_their_replicates_a_large_mark():
    dots, means = values(plots.students_against(POINTS, "x", "y"))
    assert len(dots) == 3 and [(mark["x"], mark["y"]) for mark in means] == [(7, 45), (0, 30)]


def test_names_are_text_and_not_formulas():
    shown = texts(plots.scores_over_sizes(SCORES, "trivia", "exact_match"))
    assert {"un$masked", "masked", "seed-only control", "untouched base", "trivia"} <= set(shown)


def test_one_size_and_nothing_at_all_can_be_drawn():
    one = SCORES.filter(pl.col("train_size") == 16)
    plots.svg(plots.scores_over_sizes(one, "trivia", "exact_match"))
    plots.svg(plots.scores_over_sizes(SCORES.clear(), "trivia", "exact_match"))
    plots.svg(plots.relevance_novelty_by_cell(CORPORA.clear()))
    plots.svg(plots.relevance_against_novelty(ROWS.clear()))
    plots.svg(plots.normsim_histogram([]))
    plots.svg(plots.students_against(POINTS.clear(), "x", "y"))
    plots.svg(plots.novelty_against_size(pl.DataFrame({"rows": [8], "novelty": [0.5]})))


def test_the_band_is_marked():
    chart = plots.normsim_histogram([0.1, 0.5, 0.9], 0.3, None)
    bars, band = values(chart)
    assert sum(bar["rows"] for bar in bars) == 3
    assert band == [{"low": 0.3, "high": 0.9, "label": "kept band"}]
    assert "kept band" in texts(chart)


def test_labels_share_neither_colour_nor_marker_pair():
    marks = plots.marks([f"arm{i}" for i in range(30)])
    assert len(set(marks.values())) == 30


def test_seeds_are_grey_and_rows_without_a_lens_are_left_out():
    rows = pl.concat([ROWS, pl.DataFrame({"arm": [plots.SEEDS], "relevance": [0.9], "novelty": [0.1]})])
    (points,) = values(plots.relevance_against_novelty(rows))
    assert [point["arm"] for point in points] == ["a", "b", plots.SEEDS]
    assert plots.marks(["a", plots.SEEDS])[plots.SEEDS][0] == plots.INK


def test_a_large_corpus_is_drawn_as_a_sample_and_long_texts_are_cut():
    count = 3 * plots.MOST_POINTS
    rows = pl.DataFrame({"arm": ["a"] * count, "relevance": [0.5] * count, "novelty": [0.5] * count})
    (points,) = values(plots.relevance_against_novelty(rows.with_columns(prompt=pl.lit("word " * 100))))
    assert len(points) == plots.MOST_POINTS and max(len(point["prompt"]) for point in points) <= 162


def test_the_library_waits_until_it_is_needed():
    code = (
        "import sys, nomad_assets.recipe.report.report\n"
        "assert not {'altair', 'vl_convert', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
