"""Figures: what is drawn, and that the files are the same each time."""

import base64
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from nomad_assets.recipe import plots

SCORES = pl.DataFrame(
    {
        "kind": ["base", "control", "control", "student", "student", "student", "student"],
        "train_size": [None, 16, 64, 16, 64, 16, 64],
        "prompt_loss": [None, None, None, "masked", "masked", "un$masked", "un$masked"],
        "weight": [None, None, None, 0.0, 0.0, 1.0, 1.0],
        "replicate": [None, None, None, 0, 0, 0, 0],
        "benchmark": ["trivia"] * 7,
        "metric": ["exact_match"] * 7,
        "mean": [0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5],
        "low": [0.05, 0.15, 0.2, 0.25, 0.3, 0.3, 0.4],
        "high": [0.15, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6],
    }
)
CORPORA = pl.DataFrame(
    {
        "train_size": [16, 64, 16], "prompt_loss": ["masked", "masked", "unmasked"], "weight": [0.0, 0.0, 1.0],
        "relevance_all": [0.3, 0.4, 0.5], "relevance_kept": [0.4, 0.5, None],
        "novelty_all": [0.6, 0.5, 0.4], "novelty_kept": [0.5, 0.4, None],
    }
)  # fmt: skip


def texts(figure) -> list[str]:
    return [e.text for e in ElementTree.fromstring(plots.svg(figure)).iter() if e.tag.endswith("}text") and e.text]


def every_figure():
    rows = pl.DataFrame({"arm": ["a", "b", "b"], "relevance": [0.1, 0.2, None], "novelty": [0.5, 0.4, 0.3]})
    return {
        "training": plots.training_curve(pl.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})),
        "scatter": plots.relevance_against_novelty(rows),
        "normsim": plots.normsim_histogram(np.linspace(0.2, 0.8, 50), 0.4, 0.6),
        "novelty": plots.novelty_against_size(
            pl.DataFrame({"label": ["x", "x", "y"], "rows": [10, 20, 10], "novelty": [0.5, 0.4, 0.6]})
        ),
        "scores": plots.scores_over_sizes(SCORES, "trivia", "exact_match"),
        "cells": plots.relevance_novelty_by_cell(CORPORA),
    }


@pytest.mark.parametrize("name", list(every_figure()))
def test_svg_is_the_same_each_time_and_loads_nothing(name):
    first, second = plots.svg(every_figure()[name]), plots.svg(every_figure()[name])
    assert first == second
    assert "<dc:date>" not in first and "matplotlib.org" not in first
    axes = every_figure()[name].axes[0]
    assert axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize("name", list(every_figure()))
def test_png_is_a_png(name):
    assert base64.b64decode(plots.png_base64(every_figure()[name])).startswith(b"\x89PNG")


def test_scores_are_in_percent_with_their_intervals():
    axes = plots.scores_over_sizes(SCORES, "trivia", "exact_match").axes[0]
    assert axes.get_ylabel() == "exact_match (%)"
    lines = [list(np.round(line.get_ydata(), 6)) for line in axes.lines if line.get_linestyle() == "-"]
    assert lines == [[30, 35], [40, 50]]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["16", "64"]
    ends = [np.round(segment[:, 1], 6).tolist() for c in axes.collections for segment in c.get_segments()]
    assert [25, 35] in ends and [40, 60] in ends and [15, 25] in ends


def test_names_are_text_and_not_formulas():
    shown = texts(plots.scores_over_sizes(SCORES, "trivia", "exact_match"))
    assert {"un$masked", "masked", "seed-only control", "untouched base", "trivia"} <= set(shown)


def test_one_size_and_nothing_at_all_can_be_drawn():
    one = SCORES.filter(pl.col("train_size") == 16)
    plots.svg(plots.scores_over_sizes(one, "trivia", "exact_match"))
    plots.svg(plots.scores_over_sizes(SCORES.clear(), "trivia", "exact_match"))
    plots.svg(plots.relevance_novelty_by_cell(CORPORA.clear()))
    plots.svg(plots.normsim_histogram([]))
    plots.svg(plots.novelty_against_size(pl.DataFrame({"rows": [8], "novelty": [0.5]})))


def test_the_band_is_marked():
    axes = plots.normsim_histogram([0.1, 0.5, 0.9], 0.3, None).axes[0]
    assert [t.get_text() for t in axes.figure.legends[0].get_texts()] == ["kept band"]
    assert sum(bar.get_height() for bar in axes.patches if bar.get_label() != "kept band") == 3


def test_labels_share_neither_colour_nor_marker_pair():
    marks = plots._marks(pl.Series([f"arm{i}" for i in range(30)]))
    assert len(set(marks.values())) == 30


def test_matplotlib_waits_until_it_is_needed_and_keeps_its_settings():
    code = (
        "import sys, nomad_assets.recipe.report.build; assert 'matplotlib' not in sys.modules\n"
        "import polars as pl, matplotlib as mpl; before = mpl.rcParams.copy()\n"
        "from nomad_assets.recipe import plots\n"
        "plots.svg(plots.training_curve(pl.DataFrame({'step': [1], 'loss': [1.0]})))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert all(mpl.rcParams[key] == before[key] for key in before if key != 'backend')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
