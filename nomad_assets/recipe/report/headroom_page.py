"""The headroom page: whether synthetic data can help here, before any teacher is trained."""

from dataclasses import dataclass

import polars as pl

from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY
from nomad_assets.recipe.headroom.findings import At, Findings, Judged, Verdict
from nomad_assets.recipe.headroom.measure import RIGHT, ROWS, VOTES, WRONG
from nomad_assets.recipe.headroom.votes import ANY_RIGHT, MAJORITY, SINGLE
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.blocks import Block, Paragraph, Picture, Section, Table
from nomad_assets.recipe.report.formatting import duration, gap_numbers, percent, score_words
from nomad_assets.recipe.report.headroom_answer import answer, gap, row_of, whole
from nomad_assets.recipe.report.markdown import markdown_page
from nomad_assets.recipe.report.page import html_page

TITLE = "Can synthetic data help here?"
CALLS = {"higher": "higher", "lower": "lower", "open": "not called"}
NAMES = {RIGHT: "right", LOG_PROBABILITY: "log-prob."}
UNITS = {RIGHT: "points", LOG_PROBABILITY: "nats"}
Y_TITLES = {RIGHT: "right (%)", LOG_PROBABILITY: "log-probability (nats per token)"}


@dataclass(frozen=True)
class Facts:
    """What the page says of how it was measured."""

    profile: str
    learning_rate: float
    steps: int
    pool: int
    """Rows of the seed pool."""
    models: int
    seconds: float


@dataclass(frozen=True)
class Page:
    markdown: str
    html: str
    verdict: Verdict


def build_page(findings: Findings, facts: Facts) -> Page:
    """The findings as a page that begins with the verdict."""
    sections = [
        Section("The answer", answer(findings)),
        Section("Does the score still rise with more data?", _rows(findings)),
        Section("Can verification help?", _votes(findings)),
        Section("How right must rows be?", _wrong(findings)),
        Section("Settings", [_settings(findings, facts)]),
    ]
    subtitle = f"Headroom, profile {facts.profile}"
    return Page(
        markdown_page(TITLE, subtitle, sections), html_page(TITLE, subtitle, sections), findings.verdict,
    )  # fmt: skip


def _rows(findings: Findings) -> list[Block]:
    """The scores over gold rows, by benchmark, and the step from each size to the next."""
    blocks: list[Block] = []
    for metric in findings.metrics:
        points: dict[float, At] = {float(size): (ROWS, size, metric) for size in findings.sizes}
        blocks.append(_curve(findings, points, metric, "gold rows"))
    header = ["Gold rows", *_scores_header(findings), *_differences_header(findings)]
    rows = []
    for before, size in zip([None, *findings.sizes], findings.sizes, strict=False):
        pairs = {m: ((ROWS, size, m), (ROWS, before, m)) for m in findings.metrics}
        step = _differences(findings, None if before is None else findings.judged(pairs))
        rows.append([str(size), *_scores(findings, ROWS, size), *step])
    caption = (
        "Means over benchmarks with 95% intervals in brackets; log-prob. in nats per answer token, closer to zero is better. "
        "Differences are against the size before; the last line decides."
    )
    return [*blocks, Table(caption, header, rows)]


def _votes(findings: Findings) -> list[Block]:
    if not findings.votes:
        return [Paragraph("No benchmark has answers that are right or wrong.")]
    count = findings.answers
    names = {
        SINGLE: "one sampled answer",
        MAJORITY: f"majority of {count}",
        ANY_RIGHT: f"any right of {count}",
    }
    pooled, dots = [], []
    for name, label in names.items():
        contrast = findings.votes[name].right
        found = contrast.found
        pooled.append({"label": label, "difference": found.mean, "low": found.low, "high": found.high})
        dots += [{"label": label, "replicate": n, "difference": gap} for n, gap in enumerate(contrast.by_replicate)]
    alt = "Against the greedy answer of the same model, with 95% intervals and a dot for each replicate: " + "; ".join(
        f"{label} {gap(findings.votes[name].right, brief=True)}" for name, label in names.items()
    )
    rows = [["greedy", _score(findings, (ROWS, findings.largest, RIGHT)), "–", "–"]]
    for name, label in names.items():
        judged = findings.votes[name]
        rows.append([label, _score(findings, (VOTES, count, name)), _numbers(judged, RIGHT), CALLS[judged.call]])
    caption = f"Answers of the models of {findings.largest} gold rows; 95% intervals in brackets."
    return [
        Picture.of(plots.forest(pl.DataFrame(pooled), pl.DataFrame(dots)), f"{alt}."),
        Table(caption, ["Answer", "right", "Against greedy, points", "Called"], rows),
        _agreement(findings),
    ]


def _agreement(findings: Findings) -> Table:
    """What is kept where so many answers must agree, and how often the answer they agree on is right."""
    count = findings.answers
    rows = []
    for least in sorted({-(-count // 2), -(-count * 5 // 8), -(-count * 3 // 4), count}):
        kept, right = findings.agreeing(least)
        rows.append([f"{least} of {count}", f"{least / count:.2f}", percent(kept), percent(right)])
    caption = (
        "Means over all dev questions and replicates, without intervals. Agreement keeps what the model can do already: a "
        "high precision there is of easy questions."
    )
    return Table(caption, ["Agreeing", "curation.min_agreement", "Questions kept", "Of these right"], rows)


def _wrong(findings: Findings) -> list[Block]:
    if not findings.wrong:
        return [Paragraph("Not measured: headroom.wrong is empty.")]
    blocks: list[Block] = []
    for metric in findings.metrics:
        points: dict[float, At] = {0.0: (ROWS, findings.largest, metric)}
        points |= {wrong.share * 100: (WRONG, wrong.share, metric) for wrong in findings.wrong}
        blocks.append(_curve(findings, points, metric, f"wrong rows (% of {findings.largest})"))
    header = ["Wrong rows", *_scores_header(findings), *_differences_header(findings)]
    rows = [["0%", *_scores(findings, ROWS, findings.largest), *_differences(findings, None)]]
    for wrong in findings.wrong:
        scores = _scores(findings, WRONG, wrong.share)
        rows.append([whole(wrong.share), *scores, *_differences(findings, wrong.against_right)])
    caption = (
        f"{findings.largest} rows of which some have the answer of another row. Differences are against none wrong."
    )
    return [*blocks, Table(caption, header, rows), _added(findings)]


def _added(findings: Findings) -> Table:
    """The same models against those of the gold rows alone: what rows of a precision would be worth."""
    added = findings.largest - findings.smaller
    rows = [["100%", "0%", *_differences(findings, findings.rise)]]
    for wrong in findings.wrong:
        precision = "–" if wrong.precision is None else whole(wrong.precision)
        rows.append([precision, whole(wrong.share), *_differences(findings, wrong.against_fewer)])
    caption = (
        f"The same read as {findings.smaller} gold rows with {added} more, against the {findings.smaller} alone: where a difference crosses "
        "zero, such rows break even."
    )
    return Table(caption, [f"Right of the {added} more", "Wrong of all", *_differences_header(findings)], rows)


def _curve(findings: Findings, points: dict[float, At], metric: str, x_title: str) -> Picture:
    scale = 100 if metric == RIGHT else 1
    scores = {x: findings.score(at) for x, at in points.items()}
    means = [{"x": x, "mean": s.mean * scale, "low": s.low * scale, "high": s.high * scale} for x, s in scores.items()]
    dots = [
        {"x": x, "replicate": number, "mean": mean * scale}
        for x, at in points.items()
        for number, mean in enumerate(findings.by_replicate(at))
    ]
    words = "; ".join(f"{x:g}: {_score(findings, at)}" for x, at in points.items())
    alt = f"{Y_TITLES[metric]} over {x_title}, with 95% intervals and a dot for each replicate: {words}."
    return Picture.of(plots.score_curve(pl.DataFrame(means), pl.DataFrame(dots), x_title, Y_TITLES[metric]), alt)


def _score(findings: Findings, at: At) -> str:
    found = findings.score(at)
    return score_words({"mean": found.mean, "low": found.low, "high": found.high}, share=at[2] != LOG_PROBABILITY)


def _scores(findings: Findings, curve: str, point: float) -> list[str]:
    return [_score(findings, (curve, point, metric)) for metric in findings.metrics]


def _scores_header(findings: Findings) -> list[str]:
    return [NAMES[metric] for metric in findings.metrics]


def _differences(findings: Findings, judged: Judged | None) -> list[str]:
    """The difference by each measure, and what they show together; dashes where there is nothing to compare with."""
    if judged is None:
        return ["–"] * (len(findings.metrics) + 1)
    return [*(_numbers(judged, metric) for metric in findings.metrics), CALLS[judged.call]]


def _differences_header(findings: Findings) -> list[str]:
    return [*(f"Difference, {UNITS[metric]}" for metric in findings.metrics), "Called"]


def _numbers(judged: Judged, metric: str) -> str:
    return "{} ({})".format(*gap_numbers(row_of(judged.contrasts[metric])))


def _settings(findings: Findings, facts: Facts) -> Table:
    rows = [
        ["profile", facts.profile],
        ["seed pool", f"{facts.pool} rows"],
        ["gold rows", ", ".join(map(str, findings.sizes))],
        ["replicates", str(findings.replicates)],
        ["optimizer steps of every model", str(facts.steps)],
        ["learning rate", f"{facts.learning_rate:g}"],
        ["sampled answers", str(findings.answers)],
        ["smallest gain worth the work", f"{findings.margin * 100:.3g} points"],
        ["models scored", str(facts.models)],
        ["time taken", duration(facts.seconds)],
    ]
    return Table("What this page was made with.", ["Setting", "Value"], rows, words=2)
