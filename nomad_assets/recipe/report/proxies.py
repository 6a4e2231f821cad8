"""What goes with a better student: its dose of kept rows, how many of these show no error, and what else was measured of its corpus.

Worked example: six cells kept rows of which 20, 35, 40, 55, 60 and 70% show no sign of error, and their students gained 0, 2, 1, 4, 5
and 6 points over their own controls. The order is the same but for one pair of neighbours: rank correlation 0.94. It says that
the share would have picked the better corpora here before a student was trained, not that it made the students better.
"""

from typing import TYPE_CHECKING

import polars as pl

from nomad_assets.recipe.evaluation.rank_correlation import FEWEST, rank_correlation
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.blocks import Block, Paragraph, Picture, Table
from nomad_assets.recipe.report.comparisons import CONTROL, Findings, Side
from nomad_assets.recipe.report.formatting import correlation

if TYPE_CHECKING:
    import altair as alt

PROXIES = {
    "without_error": "share of kept rows without a sign of error",
    "relevance_kept": "relevance of kept rows",
    "novelty_kept": "novelty of kept rows",
    "yield": "yield: kept rows per attempt",
    "prompt_completion": "prompts that the teacher completed",
}
"""Column of `students` -> its name. All are known before a student is trained."""
CELL = ["train_size", "replicate", "arm"]


def students(findings: Findings) -> pl.DataFrame:
    """A row for each student whose corpus was measured: train_size, replicate, arm, kept, score and gain (shares of the test
    questions right, mean over benchmarks; gain over its own control, null without one), and the PROXIES."""
    scores = pl.concat([_scores(findings, Side("student", arm), arm) for arm in findings.arms] or [_empty()])
    controls = _scores(findings, CONTROL, None).select("train_size", "replicate", of_control="score")
    measured = findings.data.corpora.select(
        *CELL, "kept", "relevance_kept", "novelty_kept",
        without_error=_ratio("kept_without_error", "kept"), prompt_completion=_ratio("prompts_completed", "attempts"),
        **{"yield": _ratio("kept", "attempts")},
    )  # fmt: skip
    found = scores.join(measured, on=CELL).join(controls, on=["train_size", "replicate"], how="left")
    return found.with_columns(gain=pl.col("score") - pl.col("of_control")).drop("of_control").sort(CELL)


def what_goes_with_better_students(findings: Findings) -> list[Block]:
    """Students by their dose and by the share of rows without a sign of error, and how far each proxy orders them."""
    cells = students(findings) if findings.shares and not findings.data.corpora.is_empty() else pl.DataFrame()
    if cells.is_empty():
        return [Paragraph("It takes students with a score and a measured corpus.")]
    blocks: list[Block] = [
        Picture.of(
            dose(findings, cells),
            "Mean score on the test questions against the number of synthetic rows: a dot for each student, a large mark for the "
            "mean of a cell's replicates, controls at 0 rows.",
        )
    ]
    if cells.drop_nulls(["gain", "without_error"]).height:
        blocks.append(
            Picture.of(
                precision(findings, cells),
                "What students gained over their own controls against the share of their rows without a sign of error: a dot for each "
                "student, a large mark for the mean of a cell's replicates.",
            )
        )
    text = (
        "A corpus is measured before a student sees it. Near +1, cells that lead in the proxy lead in what their students gained over "
        "their own controls; near −1 they come last. This is no cause: train size, arm and replicate move several proxies at once. Cells "
        "of one replicate share their seed examples, so the intervals are rather too narrow, and of several proxies one may look good by luck."
    )
    header = ["Proxy", "Rank correlation with the gain", "Cells"]
    return [*blocks, Paragraph(text), Table("What proxies say of the student.", header, correlations(cells), words=2)]


def correlations(cells: pl.DataFrame) -> list[list[str]]:
    """A row of text for each proxy: its name, Spearman's correlation with its interval, and the number of cells."""
    rows = []
    for column, name in PROXIES.items():
        pairs = cells.drop_nulls([column, "gain"])
        found = rank_correlation(pairs[column].to_numpy(), pairs["gain"].to_numpy()) if pairs.height else None
        if found is not None:
            words = correlation(found)
        else:
            words = f"too few cells (at least {FEWEST})" if pairs.height < FEWEST else "no order: all cells are equal"
        rows.append([name, words, str(pairs.height)])
    return rows


def dose(findings: Findings, cells: pl.DataFrame) -> "alt.LayerChart":
    """Mean score in percent against the number of kept rows; controls have none."""
    controls = _scores(findings, CONTROL, None).with_columns(model=pl.lit(plots.CONTROL), kept=pl.lit(0, pl.Int64))
    drawn = [_by_weight(findings, cells).with_columns(model=pl.col("arm")), controls]
    points = pl.concat(
        [part.select("model", "train_size", "replicate", x="kept", y=pl.col("score") * 100) for part in drawn]
    )
    return plots.students_against(points, "synthetic rows trained on (kept rows)", "mean score (% right)")


def precision(findings: Findings, cells: pl.DataFrame) -> "alt.LayerChart":
    """Gain over the own control in points against the share of kept rows without a sign of error in percent."""
    shown = _by_weight(findings, cells).drop_nulls(["gain", "without_error"])
    points = shown.select(
        "train_size", "replicate", model="arm", x=pl.col("without_error") * 100, y=pl.col("gain") * 100
    )
    return plots.students_against(points, "kept rows without a sign of error (%)", "gain over its control (points)")


def _by_weight(findings: Findings, cells: pl.DataFrame) -> pl.DataFrame:
    """The lowest prompt loss weight first, as in every other figure."""
    order = {name: place for place, name in enumerate(findings.arms)}
    return cells.sort(pl.col("arm").replace_strict(order), *CELL)


def _scores(findings: Findings, side: Side, arm: str | None) -> pl.DataFrame:
    """Of one side: train_size, replicate, arm, score; only of models that were scored on every benchmark."""
    chosen = pl.DataFrame({"benchmark": list(findings.shares), "metric": list(findings.shares.values())})
    values = findings.side(side).join(chosen.cast(pl.String), on=["benchmark", "metric"])
    model = ["train_size", "replicate"]
    means = values.group_by(*model, "benchmark").agg(pl.col("value").mean())
    whole = means.group_by(model).agg(score=pl.col("value").mean(), benchmarks=pl.len())
    whole = whole.filter(pl.col("benchmarks") == len(findings.shares)).sort(model)
    return whole.select(*model, pl.lit(arm, pl.String).alias("arm"), "score")


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={"train_size": pl.Int64, "replicate": pl.Int64, "arm": pl.String, "score": pl.Float64})


def _ratio(part: str, whole: str) -> pl.Expr:
    """Null where there is no whole."""
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
