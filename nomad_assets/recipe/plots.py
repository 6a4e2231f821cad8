"""The figures of the recipe, each a matplotlib Figure that touches no global state.

Colours are the colour-blind-safe set of Okabe and Ito (https://jfly.uni-koeln.de/color/), less black and yellow and
with a lighter blue, since a page is dark or light; every label also has its own marker, so that nothing hangs on
colour alone. Text and axes are a mid grey on a transparent ground, readable on both.
"""

import base64
import io
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1C86CB", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#7a7f87"
"""Text, axes and what is not an arm: at least 4:1 against white and against near-black."""
SIZE = (4.6, 3.6)
"""Inches. Small on purpose: at a phone's width the 10 pt text is still about 10 pixels."""
RASTER_FROM = 1500
"""Number of points from which a scatter is drawn as an image: as vectors it would weigh megabytes."""


def training_curve(curve: pl.DataFrame) -> "Figure":
    """Loss over optimizer steps. `curve`: step, loss (nats per supervised token)."""
    with _style():
        figure, axes = _figure("optimizer step", "loss (nats per supervised token)")
        curve = curve.drop_nulls(["step", "loss"]).sort("step")
        axes.plot(curve["step"], curve["loss"], color=COLOURS[0], linewidth=1.6, marker="o" if len(curve) < 2 else None)
        return figure


def relevance_against_novelty(rows: pl.DataFrame) -> "Figure":
    """Every row by novelty and relevance, coloured by arm. `rows`: arm, relevance, novelty; rows without both are
    left out."""
    with _style():
        figure, axes = _figure("novelty (distance from the seeds)", "relevance (similarity to target)")
        rows = rows.drop_nulls(["relevance", "novelty"])
        for label, (colour, marker) in _marks(rows["arm"]).items():
            arm = rows.filter(pl.col("arm") == label)
            axes.scatter(
                arm["novelty"], arm["relevance"], s=16, color=colour, marker=marker, alpha=0.75, linewidths=0,
                label=label, rasterized=len(arm) > RASTER_FROM,
            )  # fmt: skip
        _legend(axes)
        return figure


def normsim_histogram(
    values: Iterable[float], band_low: float | None = None, band_high: float | None = None
) -> "Figure":
    """Rows by NormSim, with the kept band shaded; an end that is None is open, both None is no band."""
    with _style():
        figure, axes = _figure("NormSim (similarity to the target, no unit)", "rows")
        sample = np.asarray(list(values), dtype=float)
        if sample.size:
            axes.hist(sample, bins=min(40, max(5, int(np.sqrt(sample.size)))), color=COLOURS[0], alpha=0.85)
        if band_low is not None or band_high is not None:
            left, right = axes.get_xlim()
            low, high = (left if band_low is None else band_low), (right if band_high is None else band_high)
            axes.axvspan(low, high, color=COLOURS[5], alpha=0.25, linewidth=0, label="kept band")
            axes.set_xlim(min(left, low), max(right, high))
            _legend(axes)
        return figure


def novelty_against_size(frame: pl.DataFrame) -> "Figure":
    """Mean novelty of what adding rows brings, against corpus size. `frame`: rows, novelty, and label for one line
    each (a single line without)."""
    with _style():
        figure, axes = _figure("corpus size (rows)", "novelty of the rows added")
        if "label" not in frame.columns:
            frame = frame.with_columns(label=pl.lit("corpus"))
        for label, (colour, marker) in _marks(frame["label"]).items():
            line = frame.filter(pl.col("label") == label).sort("rows")
            axes.plot(line["rows"], line["novelty"], color=colour, marker=marker, markersize=4, label=label)
        if frame["label"].n_unique() > 1:
            _legend(axes)
        return figure


def scores_over_sizes(scores: pl.DataFrame, benchmark: str, metric: str) -> "Figure":
    """Scores against train size, error bars their 95% intervals.

    `scores`: kind, train_size, prompt_loss, weight, replicate, benchmark, metric, mean, low, high. One line per prompt
    loss through the mean of its replicates, the control dashed, the untouched base model as a horizontal band.
    Shares are drawn in percent.
    """
    with _style():
        chosen = scores.filter((pl.col("benchmark") == benchmark) & (pl.col("metric") == metric))
        share = not chosen.is_empty() and chosen["low"].min() >= 0 and chosen["high"].max() <= 1
        scale = 100 if share else 1
        unit = "%" if share else "nats per token" if metric == "answer_logprob" else "score"
        figure, axes = _figure("train size (seed examples)", f"{metric} ({unit})")
        axes.set_title(benchmark)
        students = chosen.filter(pl.col("kind") == "student").sort("weight", "prompt_loss", "train_size")
        control = chosen.filter(pl.col("kind") == "control").sort("train_size")
        lines = [
            (name, students.filter(pl.col("prompt_loss") == name), colour, marker, "-")
            for name, (colour, marker) in _marks(students["prompt_loss"]).items()
        ]
        if not control.is_empty():
            lines.append(("seed-only control", control, INK, "x", "--"))
        for place, (name, line, colour, marker, dash) in enumerate(lines):
            # Side by side rather than on top of each other; the axis is log2, so this is the same shift everywhere.
            _score_line(axes, line, scale, 0.09 * (place - (len(lines) - 1) / 2), name, colour, marker, dash)
        for base in chosen.filter(pl.col("kind") == "base").head(1).iter_rows(named=True):
            axes.axhspan(base["low"] * scale, base["high"] * scale, color=INK, alpha=0.18, linewidth=0)
            axes.axhline(base["mean"] * scale, color=INK, linewidth=1, linestyle=":", label="untouched base")
        sizes = chosen["train_size"].drop_nulls().unique().sort().to_list()
        axes.set_xticks([np.log2(size) for size in sizes], labels=[str(size) for size in sizes])
        if sizes:
            axes.set_xlim(np.log2(sizes[0]) - 0.4, np.log2(sizes[-1]) + 0.4)
        _legend(axes)
        return figure


def relevance_novelty_by_cell(corpora: pl.DataFrame) -> "Figure":
    """Each cell's corpus by mean novelty and relevance: hollow for all completed rows, filled for the kept ones.

    `corpora`: train_size, prompt_loss, weight, relevance_all, relevance_kept, novelty_all, novelty_kept. The number
    beside a point is its train size.
    """
    with _style():
        figure, axes = _figure("mean novelty (distance from the seeds)", "mean relevance (similarity to target)")
        ordered = corpora.sort("weight", "prompt_loss", "train_size")
        for label, (colour, marker) in _marks(ordered["prompt_loss"]).items():
            named = label
            for cell in ordered.filter(pl.col("prompt_loss") == label).iter_rows(named=True):
                whole = cell["novelty_all"], cell["relevance_all"]
                kept = cell["novelty_kept"], cell["relevance_kept"]
                if None not in whole:
                    axes.plot(*whole, color=colour, marker=marker, fillstyle="none", linestyle="", markersize=7)
                if None not in kept:
                    axes.plot(*kept, color=colour, marker=marker, linestyle="", markersize=7, label=named)
                    named = None  # one legend entry per prompt loss
                    axes.annotate(
                        str(cell["train_size"]), kept, (6, 5), textcoords="offset points", color=colour, fontsize=9
                    )
                if None not in whole + kept:
                    axes.plot(*zip(whole, kept, strict=True), color=colour, linewidth=0.9, alpha=0.6)
        axes.margins(0.12)
        _legend(axes)
        return figure


def png_base64(figure: "Figure") -> str:
    """The figure as a PNG, base64 without line breaks; twice the drawn size for sharp screens."""
    with _style():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
        return base64.b64encode(buffer.getvalue()).decode("ascii")


def svg(figure: "Figure") -> str:
    """The figure as SVG text, the same bytes for the same figure: fixed ids, no date, no program name."""
    with _style():
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=150, metadata=nothing)
        return buffer.getvalue()


def _style() -> AbstractContextManager:
    """Settings for building or saving one figure; restored on leaving."""
    import matplotlib as mpl

    return mpl.rc_context(
        {
            "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9,
            "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "axes.titlecolor": INK,
            "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.22, "grid.linewidth": 0.6,
            "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
            "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
            "svg.fonttype": "none", "svg.hashsalt": "nomad", "font.family": "DejaVu Sans",
            # Names from a profile are text: a `$` in one is not the start of a formula.
            "text.parse_math": False,
        }
    )  # fmt: skip


def _figure(x: str, y: str) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _marks(labels: pl.Series) -> dict[str, tuple[str, str]]:
    """A colour and a marker a label, in order of appearance; the markers run on where the colours begin anew."""
    names = labels.drop_nulls().unique(maintain_order=True)
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def _score_line(
    axes: "Axes", line: pl.DataFrame, scale: float, shift: float, name: str, colour: str, marker: str, dash: str
) -> None:
    middle = line.group_by("train_size").agg(pl.col("mean").mean()).sort("train_size")
    x = np.log2(middle["train_size"].to_numpy()) + shift
    axes.plot(x, middle["mean"].to_numpy() * scale, color=colour, linestyle=dash, linewidth=1.4)
    mean, low, high = (line[column].to_numpy() * scale for column in ("mean", "low", "high"))
    # A bootstrap mean can leave its interval by a rounding; matplotlib refuses negative bars.
    bars = np.clip(np.stack([mean - low, high - mean]), 0, None)
    x = np.log2(line["train_size"].to_numpy()) + shift
    axes.errorbar(
        x, mean, bars, color=colour, marker=marker, markersize=5, linestyle="", capsize=3, elinewidth=1.2, label=name
    )


def _legend(axes: "Axes") -> None:
    """Below the plot, where it covers no point at any width."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = 2 if len(labels) > 1 else 1
        rows = -(-len(labels) // columns)
        width, height = axes.figure.get_size_inches()
        # A long legend must add to the figure, not eat the plot: 0.19 inches are a line of 9 pt text.
        axes.figure.set_size_inches(width, height + 0.19 * max(0, rows - 2))
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
