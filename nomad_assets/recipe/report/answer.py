"""The section that opens the report: the verdict in words, size by size, and how far to trust it."""

from collections.abc import Iterator

import polars as pl

from nomad_assets.recipe.evaluation.statistics import settling_questions
from nomad_assets.recipe.report.blocks import Block, Bullets, Paragraph
from nomad_assets.recipe.report.comparisons import BASE, CONTROL, LOGPROB, METRIC_KEY, Findings, Side
from nomad_assets.recipe.report.corpora import unfilled_target
from nomad_assets.recipe.report.formatting import ahead_words, counted, gap_words, listed, percent

FLOOR = 0.02
"""Best share right below which a benchmark is called too hard for these models to be told apart by."""


def answer(findings: Findings) -> list[Block]:
    """Yes, no or not shown for the highest weight against the lowest, then every other pair and the caveats."""
    if len(findings.weights) < 2:
        only = listed(_arm(findings, name) for name in findings.arms) or "none"
        opening = "It cannot be told here: the question needs students of two prompt loss weights."
        blocks: list[Block] = [Paragraph(f"Scored: {only}. {_against_all(findings)}", opening)]
    else:
        names = list(findings.weights)
        blocks = [_headline(findings, names[-1], names[0]), Paragraph(_against_all(findings))]
        for name in list(findings.arms)[1:]:
            blocks.append(Paragraph(f"{_arm(findings, name)} against {_arm(findings, names[0])}, size by size:"))
            blocks.append(Bullets(list(_verdicts(findings, name, names[0])) or ["no question in common"]))
    return [*blocks, Paragraph("How far to trust this:"), Bullets(_caveats(findings))]


def _headline(findings: Findings, name: str, lowest: str) -> Paragraph:
    """The verdict in words for the highest weight against the lowest, pooled over everything."""
    row = findings.found(Side("student", name), Side("student", lowest), None, None)
    a, b = _arm(findings, name), _arm(findings, lowest)
    if row is None:
        return Paragraph("", f"It cannot be told here: {a} and {b} share no scored question.")
    opening = {
        "higher": f"Yes: {a} beat {b} by {ahead_words(row)}.",
        "lower": f"No: {a} fell behind {b}, {gap_words(row)}.",
        "no difference shown": (
            f"No difference shown between {a} and {b}: {gap_words(row)}, an interval that covers zero."
        ),
    }[row["verdict"]]
    pair = Side("student", name), Side("student", lowest)
    sizes = [str(size) for size in findings.sizes if findings.found(*pair, size, None)]
    shares = [benchmark for benchmark in findings.shares if findings.found(*pair, None, benchmark)]
    text = (
        f"This pools the train size{'s' if len(sizes) > 1 else ''} {listed(sizes)} and "
        f"{counted(len(shares), 'benchmark')} ({listed(shares)}), each weighing the same: "
        f"{row['n']} questions, answered by students of both."
    )
    second = findings.found(Side("student", name), Side("student", lowest), None, None, LOGPROB)
    if second is not None:
        text += (
            f" The second measure, the mean log-probability of the right answer, has less noise: "
            f"{second['verdict']}, {gap_words(second)}."
        )
    return Paragraph(text, opening)


def _against_all(findings: Findings) -> str:
    sentences = []
    for other, words in ((CONTROL, "a student trained on the same seed examples alone"), (BASE, "the untouched base")):
        arms = [(name, findings.found(Side("student", name), other, None, None)) for name in findings.arms]
        found = [f"{name} {row['verdict']} ({gap_words(row, brief=True)})" for name, row in arms if row is not None]
        if found:
            sentences.append(f"Against {words}: {'; '.join(found)}.")
        else:
            sentences.append(f"There are no scores of {words} to compare with.")
    return " ".join(sentences)


def _verdicts(findings: Findings, name: str, lowest: str) -> Iterator[str]:
    several = len(findings.benchmarks) > 1
    for size in findings.sizes:
        for benchmark in [*findings.benchmarks, *([None] if several else [])]:
            row = findings.found(Side("student", name), Side("student", lowest), size, benchmark)
            if row is None:
                continue
            sentence = f"{size} seed examples, {benchmark or 'all benchmarks'}: {row['verdict']}, {gap_words(row)}"
            second = findings.found(Side("student", name), Side("student", lowest), size, benchmark, LOGPROB)
            yield sentence + (f"; by log-probability {second['verdict']}." if second else ".")


def _caveats(findings: Findings) -> list[str]:
    data, notes = findings.data, []
    counts = data.results.group_by("benchmark", maintain_order=True).agg(pl.col("question_id").n_unique())
    text = "Questions: " + listed(f"{n} in {name}" for name, n in counts.iter_rows()) + "."
    single = findings.comparisons.filter(
        (pl.col("unit") == "share") & pl.col("a").is_in(list(findings.arms))
        & pl.col("train_size").is_not_null() & pl.col("benchmark").is_not_null()
    )  # fmt: skip
    half = (single["high"] - single["low"]).median()
    if half:
        text += (
            f" On one benchmark at one size an interval reaches about {half * 50:.1f} points to either side; "
            "smaller effects cannot be seen with so few questions."
        )
    notes.append(text)
    replicates = data.results.filter(pl.col("kind") == "student")["replicate"].n_unique()
    if replicates > 1:
        notes.append(
            f"Scores are averaged over {replicates} replicates, which differ by up to {_spread(findings)} within "
            "a cell; intervals cover the choice of questions only."
        )
    else:
        notes.append(
            "One replicate: the intervals cover the choice of questions, not the luck of training. "
            "Another random seed can move a score by more; set replicates to see by how much."
        )
    notes.append(
        "At 95%, about one in twenty intervals misses zero where there is no difference. With fewer than "
        f"{settling_questions()} questions answered differently an interval is extended to zero, for no such result "
        "settles anything."
    )
    notes += [
        unfilled_target(cell) for cell in data.corpora.iter_rows(named=True) if cell["kept"] < cell["keep_target"]
    ]
    for name, metric in findings.shares.items():
        best = data.scores.filter((pl.col("benchmark") == name) & (pl.col("metric") == metric))["mean"].max()
        if best is not None and best <= FLOOR:
            notes.append(
                f"{name}: no model has more than {percent(best)} right, so it can hardly tell models apart by "
                f"{metric}; read the log-probability there."
            )
    return notes


def _spread(findings: Findings) -> str:
    """Largest gap between two replicates of one size and arm, in their mean over benchmarks."""
    metrics = pl.DataFrame({"benchmark": list(findings.shares), "metric": list(findings.shares.values())})
    students = findings.data.scores.filter(pl.col("kind") == "student").join(metrics.cast(pl.String), on=METRIC_KEY)
    means = students.group_by("train_size", "arm", "replicate").agg(pl.col("mean").mean())
    gaps = means.group_by("train_size", "arm").agg(gap=pl.col("mean").max() - pl.col("mean").min())
    return "an unknown amount" if gaps.is_empty() else f"{gaps['gap'].max() * 100:.1f} points"


def _arm(findings: Findings, name: str) -> str:
    weight = findings.arms[name]
    return f"{name} (the untouched model)" if weight is None else f"{name} (prompt loss weight {weight:g})"
