"""The sections on scores: the leaderboard, the paired comparisons, and every scoring rule."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.blocks import Block, Paragraph, Picture, Table
from nomad_assets.recipe.report.comparisons import (
    BASE,
    CONTROL,
    LOGPROB,
    LOWER_IS_BETTER,
    Findings,
    Side,
    equivalent_words,
)
from nomad_assets.recipe.report.formatting import chance, gap_numbers, model_label, number, percent, score_words


def leaderboard(findings: Findings, recommended: str | None) -> list[Block]:
    """The models by mean over benchmarks, best first, and their scores over train sizes."""
    rows = list(findings.data.scores.iter_rows(named=True))
    scores = {(model_label(r), r["benchmark"], r["metric"]): r for r in rows}
    header = ["Model", "Mean"]
    for name, metric in findings.primary.items():
        header += [f"{name} {metric}", *([f"{name} log-prob."] if name in findings.logprobs else [])]
    ranked = []
    for label in dict.fromkeys(label for label, _, _ in scores):
        shares = [scores.get((label, name, metric)) for name, metric in findings.shares.items()]
        mean = float(np.mean([r["mean"] for r in shares])) if shares and all(shares) else None
        cells = [percent(mean)]
        for name, metric in findings.primary.items():
            cells.append(score_words(scores.get((label, name, metric)), share=name in findings.shares))
            if name in findings.logprobs:
                cells.append(number((scores.get((label, name, LOGPROB)) or {}).get("mean")))
        ranked.append((mean, [label + (" (recommended)" if label == recommended else ""), *cells]))
    ranked.sort(key=lambda entry: -1.0 if entry[0] is None else entry[0], reverse=True)
    caption = "95% intervals in brackets; log-prob. in nats per answer token, closer to zero is better."
    blocks: list[Block] = [Table(caption, header, [row for _, row in ranked])]
    for name, metric in findings.primary.items():
        for measure in [metric, *([LOGPROB] if name in findings.logprobs else [])]:
            figure = plots.scores_over_sizes(findings.data.scores, name, measure)
            alt = f"{name}: {measure} over train sizes with 95% intervals, a line for each arm."
            blocks.append(Picture.of(figure, alt))
    return blocks


def paired_comparisons(findings: Findings) -> list[Block]:
    """A table for each pair of sides."""
    if findings.comparisons.is_empty():
        return [Paragraph("There is nothing to compare yet: it takes two models with scores on the same questions.")]
    text = "Differences are in percentage points and in nats per token, with 95% intervals in brackets."
    blocks: list[Block] = [Paragraph(text + " Against the base only means over benchmarks are listed.")]
    margin = equivalent_words(findings.data.margin)
    text = (
        f"Two sides are “{margin}” where the whole interval lies within that margin (report.margin; two one-sided tests). “No difference "
        "shown” is not that: it leaves open how large a difference there may be. Where replicates repeat, p by sign flips assumes nothing of how "
        "they are distributed; it is given for means over benchmarks, and not corrected for several comparisons."
    )
    blocks.append(Paragraph(text))
    header = ["Train size", "Benchmark", "Verdict", "By log-prob.", "Difference", "Log-prob. difference", "Questions"]
    flipped = findings.comparisons["p_flips"].is_not_null().any()
    header += ["p by sign flips"] if flipped else []
    for a, b in findings.pairs():
        rows = [row if flipped else row[:-1] for row in _comparison_rows(findings, a, b)]
        if rows:
            same = " of the same size" if b == CONTROL else ""
            blocks.append(Table(f"{a.label} against {b.label}{same}", header, rows, words=4))
    return blocks


def _comparison_rows(findings: Findings, a: Side, b: Side) -> Iterator[list[str]]:
    benchmarks: list[str | None] = [] if b == BASE and findings.shares else list(findings.benchmarks)
    benchmarks += [None] if len(findings.benchmarks) > 1 or not benchmarks else []
    for size in [*findings.sizes, *([None] if len(findings.sizes) > 1 else [])]:
        for benchmark in benchmarks:
            pooled = benchmark is None or len(benchmarks) == 1
            row = findings.found(a, b, size, benchmark)
            if row is None:
                continue
            second = findings.found(a, b, size, benchmark, LOGPROB)
            cells = [str(size or "all"), benchmark or "all", row["verdict"], second["verdict"] if second else "–"]
            yield [
                *cells,
                *("{} ({})".format(*gap_numbers(r)) if r else "–" for r in (row, second)),
                str(row["n"]),
                chance(row["p_flips"]) if pooled else "–",
            ]


def scorings(findings: Findings) -> list[Block]:
    """A table a benchmark with more than one scoring rule: the models by every metric but the log-probability."""
    blocks: list[Block] = []
    rules = findings.data.settings.get("benchmarks", {})
    for name, metrics in findings.metrics.items():
        shown = [metric for metric in metrics if metric != LOGPROB]
        if len(shown) < 2:
            continue
        scores = findings.data.scores.filter(pl.col("benchmark") == name)
        table: dict[str, dict[str, str]] = {}
        for r in scores.sort("train_size", "replicate", "prompt_loss", "arm", nulls_last=False).iter_rows(named=True):
            share = r["metric"] not in LOWER_IS_BETTER and r["low"] >= 0 and r["high"] <= 1
            cells = table.setdefault(model_label(r), {})
            cells[r["metric"]] = score_words(r, share=share)
        rows = [[model, *(cells.get(metric, "–") for metric in shown)] for model, cells in table.items()]
        rule = f" (rule {rules[name]})" if isinstance(rules, dict) and name in rules else ""
        blocks.append(Table(f"{name}{rule}: each scoring rule with its 95% interval.", ["Model", *shown], rows))
    return blocks or [Paragraph("Every benchmark has one scoring rule here.")]
