"""The figures of the recipe, as Vega-Altair charts: interactive in the report, pictures in the Dagster UI.

Colours are the colour-blind-safe set of Okabe and Ito (https://jfly.uni-koeln.de/color/), less black and yellow and
with a lighter blue, since a page is dark or light; every label also has its own marker, so that nothing hangs on
colour alone. Text and axes are a mid grey on a transparent ground, readable on both.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import altair as alt

COLOURS = ("#1C86CB", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
INK = "#7a7f87"
"""Text, axes and what is not an arm: at least 4:1 against white and against near-black."""
SIZE = (380, 270)
"""Pixels of the plot itself. Small on purpose: at a phone's width the text keeps its size."""
LINE = 30
"""Pixels of a line of a forest plot."""
SEEDS = "seed examples"
MOST_POINTS = 3000
"""Points of one scatter; of more rows a sample is drawn, evenly spread over their order."""


def training_curve(curve: pl.DataFrame) -> "alt.Chart":
    """Loss over optimizer steps. `curve`: step, loss (nats per supervised token)."""
    curve = curve.drop_nulls(["step", "loss"]).sort("step")
    chart = _chart(curve.select("step", "loss"))
    return _styled(
        chart.mark_line(point=True, color=COLOURS[0]).encode(
            x=_x("step", "optimizer step"),
            y=_y("loss", "loss (nats per supervised token)"),
            tooltip=[_shown("step", "step", "d"), _shown("loss", "loss", ".4f")],
        )
    )


def relevance_against_novelty(rows: pl.DataFrame) -> "alt.Chart":
    """Every row by novelty and relevance, coloured by arm; rows without both are left out.

    `rows`: arm, relevance, novelty, and what a pointer over a row should show besides. An arm of the name `SEEDS` is
    drawn in grey.
    """
    import altair as alt

    rows = rows.drop_nulls(["relevance", "novelty"])
    more = [name for name in rows.columns if name not in ("arm", "relevance", "novelty")]
    cut = pl.when(pl.col(pl.String).str.len_chars() > 160).then(pl.col(pl.String).str.slice(0, 160) + " …")
    rows = rows.gather_every(-(-rows.height // MOST_POINTS) or 1).with_columns(cut.otherwise(pl.col(pl.String)))
    pick = alt.selection_point("pick", fields=["arm"], bind="legend")
    chart = _chart(rows).mark_point(filled=True, size=34).encode(
        x=_x("novelty", "novelty (distance from the seeds)"),
        y=_y("relevance", "relevance (similarity to target)"),
        **_series("arm", rows["arm"]),
        opacity=alt.condition(pick, alt.value(0.75), alt.value(0.06)),
        tooltip=[
            _shown("arm", "arm"), _shown("relevance", "relevance", ".3f"), _shown("novelty", "novelty", ".3f"),
            *(_shown(name, name.replace("_", " ")) for name in more),
        ],
    )  # fmt: skip
    return _styled(chart.add_params(pick))


def normsim_histogram(
    values: Iterable[float], band_low: float | None = None, band_high: float | None = None
) -> "alt.LayerChart":
    """Rows by NormSim, with the kept band shaded; an end that is None is open, both None is no band."""
    import altair as alt

    sample = np.asarray(list(values), dtype=float)
    bins = min(40, max(5, int(np.sqrt(sample.size))))
    counts, edges = np.histogram(sample, bins) if sample.size else (np.zeros(0, int), np.zeros(1))
    bars = pl.DataFrame({"from": edges[:-1], "to": edges[1:], "rows": counts, "shown": ["rows"] * len(counts)})
    ends = [*edges[[0, -1]], *(end for end in (band_low, band_high) if end is not None)]
    low, high = (min(ends), max(ends)) if sample.size else (band_low or 0.0, 1.0 if band_high is None else band_high)
    domain = alt.Scale(domain=[_short(low), _short(high)], nice=False)
    name = "NormSim (similarity to the target, no unit)"
    layers = [
        _chart(bars).mark_bar(opacity=0.85, color=COLOURS[0]).encode(
            x=alt.X("from:Q", title=name, scale=domain),
            x2="to:Q",
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
            y2=alt.datum(0),
            tooltip=[_shown("from", "from", ".3f"), _shown("to", "to", ".3f"), _shown("rows", "rows", "d")],
        )
    ]  # fmt: skip
    if band_low is not None or band_high is not None:
        ends = {"low": low if band_low is None else band_low, "high": high if band_high is None else band_high}
        band = pl.DataFrame({**ends, "label": "kept band"})
        layers.append(
            _chart(band).mark_rect(opacity=0.3).encode(
                x=alt.X("low:Q", scale=domain),
                x2="high:Q",
                color=alt.Color("label:N", title=None, scale=alt.Scale(domain=["kept band"], range=[COLOURS[5]])),
            )
        )  # fmt: skip
    return _styled(alt.layer(*layers))


def novelty_against_size(frame: pl.DataFrame) -> "alt.Chart":
    """Mean novelty of what adding rows brings, against corpus size. `frame`: rows, novelty, and label for one line
    each (a single line without)."""
    if "label" not in frame.columns:
        frame = frame.with_columns(label=pl.lit("corpus"))
    frame = frame.select("rows", "novelty", "label").sort("label", "rows", maintain_order=True)
    labels = frame["label"]
    return _styled(
        _chart(frame).mark_line(point={"size": 22}).encode(
            x=_x("rows", "corpus size (rows)"),
            y=_y("novelty", "novelty of the rows added"),
            **_series("label", labels, legend=labels.n_unique() > 1),
            tooltip=[_shown("label", "corpus"), _shown("rows", "rows", "d"), _shown("novelty", "novelty", ".3f")],
        )
    )  # fmt: skip


def smallest_effects(effects: pl.DataFrame) -> "alt.Chart":
    """The smallest difference that is shown against the number of questions. `effects`: questions, replicates, effect (a share)."""
    import altair as alt

    frame = effects.with_columns(
        points=100 * pl.col("effect"), label=pl.col("replicates").cast(pl.String) + " replicates"
    )
    labels = frame.sort("replicates")["label"].unique(maintain_order=True)
    return _styled(
        _chart(frame.select("questions", "points", "label")).mark_line(point={"size": 22}).encode(
            x=alt.X("questions:Q", title="independent test questions", scale=alt.Scale(type="log", nice=False)),
            y=_y("points", "smallest difference shown (points)"),
            **_series("label", labels),
            tooltip=[_shown("label", "with"), _shown("questions", "questions", "d"), _shown("points", "points", ".1f")],
        )
    )  # fmt: skip


def scores_over_sizes(scores: pl.DataFrame, benchmark: str, metric: str) -> "alt.LayerChart":
    """Scores against train size, error bars their 95% intervals.

    `scores`: kind, train_size, replicate, arm, prompt_loss, benchmark, metric, mean, low, high. One line per arm
    through the mean of its replicates, the control dashed, the untouched base model as a horizontal band.
    Shares are drawn in percent.
    """
    import altair as alt

    chosen = scores.filter((pl.col("benchmark") == benchmark) & (pl.col("metric") == metric))
    share = not chosen.is_empty() and chosen["low"].min() >= 0 and chosen["high"].max() <= 1
    unit = "%" if share else "nats per token" if metric == "answer_logprob" else "score"
    chosen = chosen.with_columns(pl.col("mean", "low", "high") * (100 if share else 1))
    students = chosen.filter(pl.col("kind") == "student").sort(
        "prompt_loss", "arm", "train_size", "replicate", nulls_last=True
    )
    control = chosen.filter(kind="control").filter(pl.col("arm").is_null()).sort("train_size")
    base = chosen.filter(pl.col("kind") == "base").head(1)
    names = students["arm"].unique(maintain_order=True).to_list()
    lines = pl.concat([students.with_columns(model=pl.col("arm")), control.with_columns(model=pl.lit(CONTROL))])
    models = [*names, *([CONTROL] if control.height else [])]
    # Side by side rather than on top of each other; the axis is log2, so this is the same shift everywhere.
    shifts = {name: 0.09 * (place - (len(models) - 1) / 2) for place, name in enumerate(models)}
    shift = pl.col("model").replace_strict(shifts, default=0.0, return_dtype=pl.Float64)
    lines = lines.with_columns(x=pl.col("train_size").cast(pl.Float64).log(2) + shift)
    lines = lines.select("model", "train_size", "replicate", "x", "mean", "low", "high")
    middle = lines.group_by("model", "x", maintain_order=True).agg(pl.col("mean").mean())
    sizes = [float(np.log2(size)) for size in chosen["train_size"].drop_nulls().unique().sort()]
    wide = alt.Scale(domain=[sizes[0] - 0.4, sizes[-1] + 0.4] if sizes else [0, 1], nice=False)
    axis = alt.Axis(values=[_short(size) for size in sizes], labelExpr="format(round(pow(2, datum.value)), 'd')")
    x = alt.X("x:Q", title="train size (seed examples)", scale=wide, axis=axis)
    shown = [*models, *([BASE] if base.height else [])]
    series = _series("model", pl.Series(shown, dtype=pl.String))
    dash = alt.condition(alt.datum.model == CONTROL, alt.value([5, 4]), alt.value([1, 0]))
    facts = [
        _shown("model", "model"), _shown("train_size", "train size", "d"), _shown("mean", metric, ".3f"),
        _shown("low", "95% from", ".3f"), _shown("high", "to", ".3f"),
    ]  # fmt: skip
    title = f"{metric} ({unit})"
    layers = []
    if base.height:
        flat = base.select("mean", "low", "high").with_columns(model=pl.lit(BASE))
        flat = flat.with_columns(left=pl.lit(wide.domain[0]), right=pl.lit(wide.domain[1]))
        across = {"x": alt.X("left:Q", scale=wide), "x2": "right:Q"}
        layers += [
            _chart(flat).mark_rect(opacity=0.18, color=INK).encode(**across, y=_y("low", title), y2="high:Q"),
            _chart(flat).mark_rule(strokeDash=[2, 2]).encode(
                **across, y=_y("mean", title), color=series["color"], tooltip=[facts[0], *facts[2:]]
            ),
        ]  # fmt: skip
    layers += [
        _chart(middle).mark_line(strokeWidth=1.4).encode(
            x=x, y=_y("mean", title), color=series["color"], strokeDash=dash
        ),
        _chart(lines).mark_rule(strokeWidth=1.4).encode(x=x, y=_y("low", title), y2="high:Q", color=series["color"]),
        _chart(lines).mark_point(filled=True, size=44, opacity=1).encode(x=x, y=_y("mean", title), **series, tooltip=facts),
    ]  # fmt: skip
    return _styled(alt.layer(*layers).properties(title=benchmark))


def students_against(points: pl.DataFrame, x_title: str, y_title: str) -> "alt.LayerChart":
    """Students by two figures: a dot for each, and a large mark for the mean of a cell's replicates.

    `points`: model (arm, or CONTROL), train_size, replicate, x, y. Colours go by model, in order of appearance.
    """
    import altair as alt

    cell = ["model", "train_size"]
    means = points.group_by(cell, maintain_order=True).agg(pl.col("x", "y").mean(), replicates=pl.len())
    series = _series("model", points["model"])
    at = {"x": _x("x", x_title), "y": _y("y", y_title), **series}
    facts = [_shown("model", "model"), _shown("train_size", "train size", "d")]
    numbers = [_shown("x", x_title, ".1f"), _shown("y", y_title, ".1f")]
    return _styled(
        alt.layer(
            _chart(points).mark_point(size=22, opacity=0.75).encode(
                **at, tooltip=[*facts, _shown("replicate", "replicate", "d"), *numbers]
            ),
            _chart(means).mark_point(filled=True, size=110, opacity=0.9).encode(
                **at, tooltip=[*facts, _shown("replicates", "replicates", "d"), *numbers]
            ),
        )
    )  # fmt: skip


def forest(pooled: pl.DataFrame, replicates: pl.DataFrame) -> "alt.LayerChart":
    """Differences with their intervals, one line a comparison, and a dot for each replicate.

    `pooled`: label, difference, low, high, as shares; `replicates`: label, replicate, difference. Drawn in points.
    """
    import altair as alt

    pooled = pooled.select("label", pl.col("difference", "low", "high") * 100)
    dots = replicates.with_columns(pl.col("difference") * 100)
    y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    facts = [_shown("label", "comparison"), _shown("difference", "points", "+.1f")]
    interval = [*facts, _shown("low", "95% from", "+.1f"), _shown("high", "to", "+.1f")]
    zero = _chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeDash=[3, 3])
    layers = [
        zero.encode(x="zero:Q"),
        _chart(pooled).mark_rule(strokeWidth=2, color=COLOURS[0]).encode(x=_x("low", "difference in points"), x2="high:Q", y=y),
        _chart(dots).mark_point(size=26, opacity=0.8, color=INK).encode(
            x=_x("difference", "difference in points"), y=y, tooltip=[*facts, _shown("replicate", "replicate", "d")]
        ),
        _chart(pooled).mark_point(filled=True, size=90, opacity=1, color=COLOURS[0], shape="diamond").encode(
            x=_x("difference", "difference in points"), y=y, tooltip=interval
        ),
    ]  # fmt: skip
    width, _ = SIZE
    return _styled(alt.layer(*layers)).properties(width=width, height=LINE * pooled.height)


def score_curve(points: pl.DataFrame, replicates: pl.DataFrame, x_title: str, y_title: str) -> "alt.LayerChart":
    """A score along an axis: the means with their intervals and a line through them, and a dot for each replicate.

    `points`: x, mean, low, high; `replicates`: x, replicate, mean. Both in the units that are drawn.
    """
    import altair as alt

    x = alt.X(
        "x:Q", title=x_title, scale=alt.Scale(nice=False, padding=12), axis=alt.Axis(values=points["x"].to_list())
    )
    facts = [_shown("x", x_title), _shown("mean", y_title, ".3f")]
    interval = [*facts, _shown("low", "95% from", ".3f"), _shown("high", "to", ".3f")]
    layers = [
        _chart(points).mark_line(strokeWidth=1.4, color=COLOURS[0]).encode(x=x, y=_y("mean", y_title)),
        _chart(points).mark_rule(strokeWidth=2, color=COLOURS[0]).encode(x=x, y=_y("low", y_title), y2="high:Q"),
        _chart(replicates).mark_point(size=26, opacity=0.8, color=INK).encode(
            x=x, y=_y("mean", y_title), tooltip=[*facts, _shown("replicate", "replicate", "d")]
        ),
        _chart(points).mark_point(filled=True, size=70, opacity=1, color=COLOURS[0], shape="diamond").encode(
            x=x, y=_y("mean", y_title), tooltip=interval
        ),
    ]  # fmt: skip
    return _styled(alt.layer(*layers))


def relevance_novelty_by_cell(corpora: pl.DataFrame) -> "alt.LayerChart":
    """Each cell's corpus by mean novelty and relevance: hollow for all completed rows, filled for the kept ones.

    `corpora`: train_size, arm, prompt_loss, relevance_all, relevance_kept, novelty_all, novelty_kept. The number
    beside a point is its train size.
    """
    import altair as alt

    ordered = corpora.sort("prompt_loss", "arm", "train_size", nulls_last=True)
    series = _series("arm", ordered["arm"])
    names = ["novelty_all", "relevance_all", "novelty_kept", "relevance_kept"]
    cells = ordered.select("train_size", "arm", pl.col(names).cast(pl.Float64))
    x_name, y_name = "mean novelty (distance from the seeds)", "mean relevance (similarity to target)"
    facts = [_shown("arm", "arm"), _shown("train_size", "train size", "d")]

    def at(rows: str) -> dict:
        return {"x": _x(f"novelty_{rows}", x_name), "y": _y(f"relevance_{rows}", y_name)}

    whole, kept = cells.drop_nulls(names[:2]), cells.drop_nulls(names[2:])
    both = cells.drop_nulls(names)
    numbers = [_shown(name, name.replace("_", ", "), ".3f") for name in names]
    return _styled(
        alt.layer(
            _chart(both).mark_rule(opacity=0.6).encode(
                **at("all"), x2="novelty_kept:Q", y2="relevance_kept:Q", color=series["color"]
            ),
            _chart(whole).mark_point(filled=False, size=60).encode(**at("all"), **series, tooltip=[*facts, *numbers]),
            _chart(kept).mark_point(filled=True, size=60, opacity=1).encode(**at("kept"), **series, tooltip=[*facts, *numbers]),
            _chart(kept).mark_text(dx=8, dy=-8, align="left").encode(
                **at("kept"), text="train_size:Q", color=series["color"]
            ),
        )
    )  # fmt: skip


CONTROL, BASE = "seed-only control", "untouched base"


def png_base64(chart: "alt.TopLevelMixin") -> str:
    """The chart as a PNG, base64 without line breaks; twice the drawn size for sharp screens."""
    import vl_convert

    return base64.b64encode(vl_convert.vegalite_to_png(chart.to_dict(), scale=2)).decode("ascii")


def svg(chart: "alt.TopLevelMixin") -> str:
    """The chart as SVG text, the same for the same chart."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.to_dict())


def specification(chart: "alt.TopLevelMixin") -> str:
    """The chart as Vega-Lite JSON, on one line."""
    return json.dumps(chart.to_dict(), separators=(",", ":"), ensure_ascii=False)


def _chart(rows: pl.DataFrame) -> "alt.Chart":
    """A chart of these rows, which it holds itself; numbers with six digits, for there may be thousands."""
    import altair as alt

    values = [{key: _short(value) for key, value in row.items()} for row in rows.iter_rows(named=True)]
    return alt.Chart(alt.InlineData(values=values))


def _short(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _x(name: str, title: str) -> "alt.X":
    import altair as alt

    return alt.X(f"{name}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=8))


def _y(name: str, title: str) -> "alt.Y":
    import altair as alt

    return alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=8))


def _shown(name: str, title: str, form: str | None = None) -> "alt.Tooltip":
    """A line of what a pointer over a mark shows."""
    import altair as alt

    if form is None:
        return alt.Tooltip(field=name, type="nominal", title=title)
    return alt.Tooltip(field=name, type="quantitative", title=title, format=form)


def marks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker a label, in order of appearance; the markers run on where the colours begin anew."""
    arms = [name for name in labels if name not in (SEEDS, CONTROL, BASE)]
    found = {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(arms)}
    others = {SEEDS: "cross", CONTROL: "square", BASE: "stroke"}
    return {name: found.get(name) or (INK, others[name]) for name in labels}


def _series(name: str, labels: pl.Series, legend: bool = True) -> dict:
    """Colour and marker by a column, with one legend below the plot, where it covers no point at any width."""
    import altair as alt

    found = marks(labels.drop_nulls().unique(maintain_order=True).to_list())
    shown = alt.Legend(title=None, columns=2, labelLimit=180) if legend and found else None
    domain = list(found)
    return {
        "color": alt.Color(f"{name}:N", scale=alt.Scale(domain=domain, range=[c for c, _ in found.values()]), legend=shown),
        "shape": alt.Shape(f"{name}:N", scale=alt.Scale(domain=domain, range=[m for _, m in found.values()]), legend=shown),
    }  # fmt: skip


def _styled(chart: "alt.TopLevelMixin") -> "alt.TopLevelMixin":
    width, height = SIZE
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return (
        chart.properties(width=width, height=height, background="transparent")
        .configure(font="system-ui, DejaVu Sans, sans-serif", aria=False)
        .configure_axis(**text, domainColor=INK, tickColor=INK, gridColor=INK, gridOpacity=0.2)
        .configure_legend(**text, orient="bottom", symbolStrokeWidth=2)
        .configure_title(color=INK, fontSize=13, anchor="middle")
        .configure_text(fontSize=11)
        .configure_view(stroke=None)
    )
