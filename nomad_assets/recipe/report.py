"""The report: did taking the loss on the prompt pay off here, and which cell should be used?

Worked example: two questions, one replicate. `unmasked` (w = 1) is right on both, `masked` (w = 0) on the first only.
The paired differences are 0 and 1, their mean is 50 points; with two questions no interval can settle it, so the
report opens with "No difference shown". Scores are compared question by question, replicates averaged per question
first; over several benchmarks each weighs the same, over several train sizes a question's differences are averaged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.recipe import plots
from nomad_assets.recipe.report_page import (
    Block,
    Bullets,
    Columns,
    Example,
    Paragraph,
    Picture,
    Section,
    Table,
    html_page,
    markdown_page,
)
from nomad_assets.recipe.statistics import Difference, settling_questions, stratified_bootstrap

TITLE = "Did taking the loss on the prompt pay off here?"
LOGPROB = "answer_logprob"
PRIMARY = "exact_match"
LOWER_IS_BETTER = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "wer"}
)
"""Metrics of lm-evaluation-harness that fall as models improve: shown, never pooled or used to recommend."""
FLOOR = 0.02
"""Best share right below which a benchmark is called too hard for these models to be told apart by."""
SHOWN_CHARACTERS = 700
SHOWN_ROWS = 3
"""Rows shown of each arm, once for kept and once for dropped ones."""
COMPARISON_SCHEMA = {
    "comparison": pl.String, "a": pl.String, "b": pl.String, "train_size": pl.Int64, "benchmark": pl.String,
    "measure": pl.String, "metric": pl.String, "unit": pl.String, "n": pl.Int64, "difference": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "verdict": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class ReportData:
    """What the report is made from. Shares are 0 to 1, log-probabilities nats per answer token, durations seconds."""

    profile_name: str
    settings: dict
    """Short facts to list. Read by name: `bootstrap_resamples` and `seed` (required), `benchmarks` {name: rule}."""
    scores: pl.DataFrame
    """kind (base, control or student), train_size, arm, prompt_loss, weight, replicate, benchmark, metric, n, mean,
    low, high."""
    results: pl.DataFrame
    """kind, train_size, arm, prompt_loss, weight, replicate, benchmark, question_id, metric, value."""
    corpora: pl.DataFrame
    """A row a cell: train_size, arm, prompt_loss, weight, replicate, attempts, prompts_completed, completed, kept,
    keep_target, relevance_all, relevance_kept, novelty_all, novelty_kept, distinct_prompts (share), prompt_tokens,
    response_tokens, teacher_seconds, synthesis_seconds, curation_seconds, student_seconds."""
    reasons: pl.DataFrame
    """train_size, arm, reason ("kept" among them), rows."""
    rows: pl.DataFrame
    """A sample of synthetic rows: train_size, arm, id, verdict, reason, prompt, response, relevance, novelty,
    nearest_seed_prompt."""
    novelty_curve: pl.DataFrame
    """train_size, arm, rows, novelty: mean novelty of what adding rows brings, against corpus size."""
    missing: list[str]
    """Cells that are not materialised."""


@dataclass(frozen=True)
class Report:
    markdown: str
    html: str
    recommended: str | None
    """Label of the recommended cell, such as 64/unmasked."""
    comparisons: pl.DataFrame
    """Every paired comparison, columns of COMPARISON_SCHEMA; null train_size or benchmark means pooled over all."""


class Side(NamedTuple):
    """One side of a comparison: students of a prompt loss, the controls, or the base model."""

    kind: str
    prompt_loss: str | None = None

    @property
    def label(self) -> str:
        return {"base": "untouched base", "control": "seed-only control"}.get(self.kind) or str(self.prompt_loss)


BASE, CONTROL = Side("base"), Side("control")


def build_report(data: ReportData) -> Report:
    """Compare, recommend and write it up. Raises NomadError when a setting is missing or a result is not a number."""
    findings = Findings(data)
    sections = [
        Section("The answer", _answer(findings)),
        Section("Recommended cell", [Paragraph(findings.why, findings.choice)]),
        Section("Leaderboard", _leaderboard(findings)),
        Section("Paired comparisons", _comparisons(findings)),
        Section("Completion, yield and cost", _costs(data)),
        Section("Why rows were dropped", _reasons(data)),
        Section("Relevance and novelty", _lenses(data)),
        Section("All scoring rules side by side", _scorings(findings)),
        Section("Synthetic rows to read", _examples(findings)),
        Section("Settings", [_settings(data)]),
    ]
    if data.missing:
        sections.append(Section("Missing cells", [Bullets(list(data.missing))]))
    subtitle = f"NOMAD report, profile {data.profile_name}"
    markdown, html = markdown_page(TITLE, subtitle, sections), html_page(TITLE, subtitle, sections)
    return Report(markdown, html, findings.recommended, findings.comparisons)


class Findings:
    """The numbers of the report: primary metrics, paired comparisons, the recommended cell and why."""

    def __init__(self, data: ReportData):
        missing = [key for key in ("bootstrap_resamples", "seed") if key not in data.settings]
        if missing:
            raise NomadError(f"report settings: {', '.join(missing)}: missing; every interval depends on it")
        self.data = data
        self.values = _question_means(data.results)
        self.benchmarks = list(data.scores["benchmark"].unique(maintain_order=True))
        self.metrics = {
            name: list(data.scores.filter(pl.col("benchmark") == name)["metric"].unique(maintain_order=True))
            for name in self.benchmarks
        }
        self.primary = {n: PRIMARY if PRIMARY in m else m[0] for n, m in self.metrics.items()}
        self.shares = {n: m for n, m in self.primary.items() if _is_share(data, n, m)}
        """Benchmarks with a primary metric that is a share, more is better: the ones that can be pooled."""
        self.logprobs = {n: LOGPROB for n, m in self.metrics.items() if LOGPROB in m and m[0] != LOGPROB}
        students = data.scores.filter(pl.col("kind") == "student").sort("weight", "prompt_loss")
        self.weights = dict(students.select("prompt_loss", "weight").unique(maintain_order=True).iter_rows())
        """Prompt loss weight by name, lowest first."""
        self.sizes = data.scores["train_size"].drop_nulls().unique().sort().to_list()
        self.comparisons = pl.DataFrame(list(self._compare_all()), schema=COMPARISON_SCHEMA)
        self.recommended, self.choice, self.why = self._recommend()

    def side(self, side: Side, size: int | None = None) -> pl.DataFrame:
        """Per-question values of one side; all sizes when `size` is None."""
        chosen = self.values.filter(pl.col("kind") == side.kind)
        if side.prompt_loss is not None:
            chosen = chosen.filter(pl.col("prompt_loss") == side.prompt_loss)
        return chosen if size is None else chosen.filter(pl.col("train_size") == size)

    def difference(
        self, a: pl.DataFrame, b: pl.DataFrame, metrics: dict[str, str], *, same_size: bool
    ) -> Difference | None:
        """Mean over benchmarks of the paired difference a − b; None when they share no question."""
        chosen = pl.DataFrame(
            {"benchmark": list(metrics), "metric": list(metrics.values())}, schema=dict.fromkeys(_BY, pl.String)
        )
        on = [*_BY, "question_id", *(["train_size"] if same_size else [])]
        right = b.select(*on, other="value")
        pairs = a.join(chosen, on=_BY).join(right, on=on).with_columns(gap=pl.col("value") - pl.col("other"))
        # The same questions come back at every size: they are the unit that is resampled, so sizes average first.
        gaps = pairs.group_by("benchmark", "question_id").agg(pl.col("gap").mean()).sort("benchmark", "question_id")
        if gaps.is_empty():
            return None
        strata = [stratum["gap"].to_numpy() for stratum in gaps.partition_by("benchmark", maintain_order=True)]
        return self._bootstrap(strata)

    def found(self, a: Side, b: Side, size: int | None, benchmark: str | None, measure: str = "primary") -> dict | None:
        """The row of `comparisons` for these two sides, or None if it could not be made."""
        rows = self.comparisons.filter(
            (pl.col("a") == a.label) & (pl.col("b") == b.label) & (pl.col("measure") == measure)
            & pl.col("train_size").eq_missing(pl.lit(size, pl.Int64))
            & pl.col("benchmark").eq_missing(pl.lit(benchmark, pl.String))
        )  # fmt: skip
        return rows.row(0, named=True) if len(rows) else None

    def pairs(self) -> list[tuple[Side, Side]]:
        """Other weights against the lowest, every weight against control and base, control against base."""
        arms = [Side("student", name) for name in self.weights]
        kinds = set(self.data.scores["kind"])
        pairs = [(arm, arms[0]) for arm in arms[1:]]
        pairs += [(arm, CONTROL) for arm in arms if "control" in kinds]
        pairs += [(arm, BASE) for arm in [*arms, CONTROL] if {"base", arm.kind} <= kinds]
        return pairs

    def _bootstrap(self, strata: list[np.ndarray]) -> Difference:
        settings = self.data.settings
        seed = int(settings["seed"]) % 2**63  # a profile's seed may be negative, numpy's may not
        return stratified_bootstrap(strata, resamples=int(settings["bootstrap_resamples"]), seed=seed)

    def _compare_all(self) -> Iterator[dict]:
        primary = [("primary", None, self.shares), *(("primary", n, {n: m}) for n, m in self.primary.items())]
        second = [(LOGPROB, None, self.logprobs), *((LOGPROB, n, {n: m}) for n, m in self.logprobs.items())]
        for a, b in self.pairs():
            same_size = b.kind != "base"
            for size in [None, *self.sizes]:
                left, right = self.side(a, size), self.side(b, size if same_size else None)
                for measure, benchmark, metrics in primary + second:
                    result = self.difference(left, right, metrics, same_size=same_size)
                    if result is None:
                        continue
                    share = metrics.items() <= self.shares.items()
                    unit = "nats" if measure == LOGPROB else "share" if share else "score"
                    yield {
                        "comparison": f"{a.label} vs {b.label}", "a": a.label, "b": b.label, "train_size": size,
                        "benchmark": benchmark, "measure": measure, "metric": " / ".join(sorted(set(metrics.values()))),
                        "unit": unit, "n": result.n, "difference": result.mean, "low": result.low,
                        "high": result.high, "verdict": result.verdict,
                    }  # fmt: skip

    def _group_means(self, metrics: dict[str, str]) -> dict[tuple[int, str], float]:
        """Mean over benchmarks by (train size, prompt loss), only where every benchmark was scored."""
        students = self.data.scores.filter(pl.col("kind") == "student")
        means: dict[tuple[int, str], float] = {}
        for (size, name), group in students.group_by("train_size", "prompt_loss", maintain_order=True):
            parts = [group.filter(pl.col("benchmark") == b, pl.col("metric") == m)["mean"] for b, m in metrics.items()]
            if parts and all(len(part) for part in parts):
                means[size, name] = float(np.mean([part.mean() for part in parts]))
        return means

    def _recommend(self) -> tuple[str | None, str, str]:
        means = self._group_means(self.shares)
        if not means:
            return None, "None.", "No cell has been scored on every benchmark by a share of right answers."
        # Python's max keeps the first of equals: sorted, so that the smaller size and lower weight win.
        groups = sorted(means, key=lambda g: (g[0], self.weights[g[1]], g[1]))
        best = max(groups, key=means.__getitem__)
        tied = [g for g in groups if g == best or not self._apart(best, g, self.shares)]
        chosen, reason = self._break_tie(best, tied)
        cell = self._best_replicate(chosen)
        over = f"mean over {_many(len(self.shares), 'benchmark')}: {_percent(means[chosen])}"
        if len(groups) == 1:
            why = f"It is the only cell that was scored on every benchmark, {over}."
        elif chosen == best:
            why = f"It has the best {over}; {_many(len(groups), 'cell')} compared."
        else:
            why = (
                f"The best mean is {_percent(means[best])} ({_label(best)}), but {_label(chosen)} "
                f"({_percent(means[chosen])}) is not shown to be below it."
            )
        why += reason + self._against(chosen, CONTROL) + self._against(chosen, BASE)
        if cell != _label(chosen):
            why += " Replicates are averaged for this choice; the label names the replicate with the best mean."
        return cell, f"{cell}.", why

    def _apart(self, a: tuple[int, str], b: tuple[int, str], metrics: dict[str, str]) -> bool:
        """Whether a is shown to be above b over the same questions, across sizes if they differ."""
        left, right = (self.side(Side("student", name), size) for size, name in (a, b))
        result = self.difference(left, right, metrics, same_size=False)
        return result is not None and result.verdict == "higher"

    def _break_tie(self, best: tuple[int, str], tied: list[tuple[int, str]]) -> tuple[tuple[int, str], str]:
        """The group to take among those not shown to be below the best, and the sentence that says why."""
        if len(tied) == 1:
            return best, ""
        sentence = f" {_many(len(tied), 'cell')} cannot be told apart by that metric ({_and(map(_label, tied))})"
        logprobs = {g: v for g, v in self._group_means(self.logprobs).items() if g in tied}
        if len(logprobs) == len(tied):
            top = max(tied, key=logprobs.__getitem__)
            left = [g for g in tied if g == top or not self._apart(top, g, self.logprobs)]
            if len(left) == 1:
                return top, f"{sentence}; {_label(top)} gives the right answers the highest log-probability."
            tied = left
            sentence += f"; by log-probability of the right answer {_and(map(_label, left))} remain"
        costs = {g: _cost(self.data.corpora, g) for g in tied}
        if all(cost is not None for cost in costs.values()):
            cheapest = min(tied, key=lambda g: costs[g])
            return cheapest, f"{sentence}; {_label(cheapest)} cost least ({_seconds(costs[cheapest])})."
        return best if best in tied else tied[0], f"{sentence}; costs are not known for all of them."

    def _best_replicate(self, group: tuple[int, str]) -> str:
        size, name = group
        metrics = pl.DataFrame({"benchmark": list(self.shares), "metric": list(self.shares.values())})
        students = self.data.scores.filter(pl.col("kind") == "student").join(metrics, on=_BY)
        cells = students.filter((pl.col("train_size") == size) & (pl.col("prompt_loss") == name))
        ranked = cells.group_by("arm").agg(pl.col("mean").mean()).sort("mean", "arm", descending=[True, False])
        return f"{size}/{ranked['arm'][0]}"

    def _against(self, group: tuple[int, str], other: Side) -> str:
        size, name = group
        row = self.found(Side("student", name), other, size, None)
        if other.kind == "control":
            against = f"a student trained on the same {size} seed examples alone"
        else:
            against = "the untouched base model"
        if row is None:
            return f" Whether it beats {against} is not known: there are no such scores."
        if row["verdict"] == "higher":
            return f" It beats {against} by {_ahead(row)}."
        if row["verdict"] == "lower":
            return f" It is worse than {against}: {_gap(row)}."
        return f" It is not shown to beat {against}: {_gap(row)}, an interval that covers zero."


_BY = ["benchmark", "metric"]


def _question_means(results: pl.DataFrame) -> pl.DataFrame:
    """One value a side, size, benchmark, metric and question: replicates averaged."""
    bad = results.filter(pl.col("value").is_null() | ~pl.col("value").is_finite())
    if len(bad):
        where = ["kind", "train_size", "arm", "benchmark", "metric"]
        cases = bad.head(20).select(*where, "question_id", "value").to_dicts()
        raise NomadError(f"report: {len(bad)} results are not a finite number, first in {cases[0]}", cases)
    by = ["kind", "prompt_loss", "train_size", *_BY, "question_id"]
    return results.group_by(by, maintain_order=True).agg(pl.col("value").mean())


def _is_share(data: ReportData, benchmark: str, metric: str) -> bool:
    values = data.results.filter((pl.col("benchmark") == benchmark) & (pl.col("metric") == metric))["value"]
    if metric in LOWER_IS_BETTER or metric == LOGPROB or values.is_empty():
        return False
    return values.min() >= 0 and values.max() <= 1


def _cost(corpora: pl.DataFrame, group: tuple[int, str]) -> float | None:
    """Seconds of all four steps, mean over replicates; None when a step's time is not known."""
    size, name = group
    cells = corpora.filter((pl.col("train_size") == size) & (pl.col("prompt_loss") == name))
    total = cells.select(pl.sum_horizontal(*_STEPS, ignore_nulls=False).alias("total"))["total"]
    return None if total.is_empty() or total.null_count() else float(total.mean())


_STEPS = ["teacher_seconds", "synthesis_seconds", "curation_seconds", "student_seconds"]


def _answer(findings: Findings) -> list[Block]:
    if len(findings.weights) < 2:
        only = _and(_arm(findings, name) for name in findings.weights) or "none"
        opening = "It cannot be told here: the question needs students of two prompt loss weights."
        blocks: list[Block] = [Paragraph(f"Scored: {only}. {_against_all(findings)}", opening)]
    else:
        names = list(findings.weights)
        blocks = [_headline(findings, names[-1], names[0]), Paragraph(_against_all(findings))]
        for name in names[1:]:
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
        "higher": f"Yes: {a} beat {b} by {_ahead(row)}.",
        "lower": f"No: {a} fell behind {b}, {_gap(row)}.",
        "no difference shown": f"No difference shown between {a} and {b}: {_gap(row)}, an interval that covers zero.",
    }[row["verdict"]]
    pair = Side("student", name), Side("student", lowest)
    sizes = [str(size) for size in findings.sizes if findings.found(*pair, size, None)]
    shares = [benchmark for benchmark in findings.shares if findings.found(*pair, None, benchmark)]
    text = (
        f"This pools the train size{'s' if len(sizes) > 1 else ''} {_and(sizes)} and {_many(len(shares), 'benchmark')} "
        f"({_and(shares)}), each weighing the same: {row['n']} questions, answered by students of both."
    )
    second = findings.found(Side("student", name), Side("student", lowest), None, None, LOGPROB)
    if second is not None:
        text += (
            f" The second measure, the mean log-probability of the right answer, has less noise: "
            f"{second['verdict']}, {_gap(second)}."
        )
    return Paragraph(text, opening)


def _against_all(findings: Findings) -> str:
    sentences = []
    for other, words in ((CONTROL, "a student trained on the same seed examples alone"), (BASE, "the untouched base")):
        arms = [(name, findings.found(Side("student", name), other, None, None)) for name in findings.weights]
        found = [f"{name} {row['verdict']} ({_gap(row, brief=True)})" for name, row in arms if row is not None]
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
            sentence = f"{size} seed examples, {benchmark or 'all benchmarks'}: {row['verdict']}, {_gap(row)}"
            second = findings.found(Side("student", name), Side("student", lowest), size, benchmark, LOGPROB)
            yield sentence + (f"; by log-probability {second['verdict']}." if second else ".")


def _caveats(findings: Findings) -> list[str]:
    data, notes = findings.data, []
    counts = data.results.group_by("benchmark", maintain_order=True).agg(pl.col("question_id").n_unique())
    text = "Questions: " + _and(f"{n} in {name}" for name, n in counts.iter_rows()) + "."
    single = findings.comparisons.filter(
        (pl.col("unit") == "share") & pl.col("a").is_in(list(findings.weights))
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
    notes += [_unfilled(cell) for cell in data.corpora.iter_rows(named=True) if cell["kept"] < cell["keep_target"]]
    for name, metric in findings.shares.items():
        best = data.scores.filter((pl.col("benchmark") == name) & (pl.col("metric") == metric))["mean"].max()
        if best is not None and best <= FLOOR:
            notes.append(
                f"{name}: no model has more than {_percent(best)} right, so it can hardly tell models apart by "
                f"{metric}; read the log-probability there."
            )
    return notes


def _spread(findings: Findings) -> str:
    """Largest gap between two replicates of one size and prompt loss, in their mean over benchmarks."""
    metrics = pl.DataFrame({"benchmark": list(findings.shares), "metric": list(findings.shares.values())})
    students = findings.data.scores.filter(pl.col("kind") == "student").join(metrics.cast(pl.String), on=_BY)
    means = students.group_by("train_size", "prompt_loss", "replicate").agg(pl.col("mean").mean())
    gaps = means.group_by("train_size", "prompt_loss").agg(gap=pl.col("mean").max() - pl.col("mean").min())
    return "an unknown amount" if gaps.is_empty() else f"{gaps['gap'].max() * 100:.1f} points"


def _unfilled(cell: dict) -> str:
    label = f"{cell['train_size']}/{cell['arm']}"
    kept = "no row was kept" if cell["kept"] == 0 else f"{cell['kept']} rows kept"
    return (
        f"{label} could not fill its keep target: {kept} of {cell['keep_target']} wanted, from {cell['completed']} "
        f"completed rows in {cell['attempts']} attempts. Its student saw fewer rows than planned."
    )


def _leaderboard(findings: Findings) -> list[Block]:
    scores = {
        (r["kind"], r["train_size"], r["arm"], r["benchmark"], r["metric"]): r
        for r in findings.data.scores.iter_rows(named=True)
    }
    header = ["Model", "Mean"]
    for name, metric in findings.primary.items():
        header += [f"{name} {metric}", *([f"{name} log-prob."] if name in findings.logprobs else [])]
    ranked = []
    for kind, size, arm in dict.fromkeys(key[:3] for key in scores):
        shares = [scores.get((kind, size, arm, name, metric)) for name, metric in findings.shares.items()]
        mean = float(np.mean([r["mean"] for r in shares])) if shares and all(shares) else None
        cells = [_percent(mean)]
        for name, metric in findings.primary.items():
            cells.append(_score(scores.get((kind, size, arm, name, metric)), share=name in findings.shares))
            if name in findings.logprobs:
                cells.append(_number((scores.get((kind, size, arm, name, LOGPROB)) or {}).get("mean")))
        label = _model(kind, size, arm)
        ranked.append((mean, [label + (" (recommended)" if label == findings.recommended else ""), *cells]))
    ranked.sort(key=lambda entry: -1.0 if entry[0] is None else entry[0], reverse=True)
    caption = "95% intervals in brackets; log-prob. in nats per answer token, closer to zero is better."
    blocks: list[Block] = [Table(caption, header, [row for _, row in ranked])]
    for name, metric in findings.primary.items():
        for measure in [metric, *([LOGPROB] if name in findings.logprobs else [])]:
            figure = plots.scores_over_sizes(findings.data.scores, name, measure)
            alt = f"{name}: {measure} over train sizes with 95% intervals, a line for each prompt loss."
            blocks.append(Picture(plots.svg(figure), alt))
    return blocks


def _comparisons(findings: Findings) -> list[Block]:
    if findings.comparisons.is_empty():
        return [Paragraph("There is nothing to compare yet: it takes two models with scores on the same questions.")]
    text = "Differences are in percentage points and in nats per token, with 95% intervals in brackets."
    blocks: list[Block] = [Paragraph(text + " Against the base only means over benchmarks are listed.")]
    header = ["Train size", "Benchmark", "Verdict", "By log-prob.", "Difference", "Log-prob. difference", "Questions"]
    for a, b in findings.pairs():
        rows = list(_comparison_rows(findings, a, b))
        if rows:
            same = " of the same size" if b == CONTROL else ""
            blocks.append(Table(f"{a.label} against {b.label}{same}", header, rows, words=4))
    return blocks


def _comparison_rows(findings: Findings, a: Side, b: Side) -> Iterator[list[str]]:
    benchmarks: list[str | None] = [] if b == BASE and findings.shares else list(findings.benchmarks)
    benchmarks += [None] if len(findings.benchmarks) > 1 or not benchmarks else []
    for size in [*findings.sizes, *([None] if len(findings.sizes) > 1 else [])]:
        for benchmark in benchmarks:
            row = findings.found(a, b, size, benchmark)
            if row is None:
                continue
            second = findings.found(a, b, size, benchmark, LOGPROB)
            cells = [str(size or "all"), benchmark or "all", row["verdict"], second["verdict"] if second else "–"]
            yield [*cells, *("{} ({})".format(*_numbers(r)) if r else "–" for r in (row, second)), str(row["n"])]


def _costs(data: ReportData) -> list[Block]:
    rows = []
    for c in data.corpora.sort("train_size", "weight", "arm").iter_rows(named=True):
        tokens = (c["prompt_tokens"] or 0) + (c["response_tokens"] or 0)
        seconds = [c[step] for step in _STEPS[:3]]
        making = None if None in seconds else sum(seconds)
        rows.append(
            [f"{c['train_size']}/{c['arm']}", str(c["attempts"]), _ratio(c["prompts_completed"], c["attempts"])]
            + [str(c["completed"]), f"{c['kept']} of {c['keep_target']}", _ratio(c["kept"], c["attempts"])]
            + [f"{tokens / c['kept']:,.0f}" if c["kept"] else "–"]
            + [_seconds(making / c["kept"]) if c["kept"] and making is not None else "–"]
            + [_seconds(c[step]) for step in _STEPS]
        )
    header = ["Cell", "Attempts", "Prompts completed", "Completed rows", "Kept", "Yield"]
    header += ["Tokens per kept row", "Time per kept row", "Teacher", "Synthesis", "Curation", "Student"]
    caption = "Yield is kept rows per attempt; time per kept row counts teacher, synthesis and curation."
    unfilled = [_unfilled(c) for c in data.corpora.iter_rows(named=True) if c["kept"] < c["keep_target"]]
    text = (
        "A prompt is completed when the teacher ends its turn by itself. A teacher that was never trained on prompts "
        "often cannot, which is the first thing to look at when an arm runs short."
    )
    return [Paragraph(text), *([Bullets(unfilled)] if unfilled else []), Table(caption, header, rows)]


def _reasons(data: ReportData) -> list[Block]:
    totals = data.reasons.group_by("reason").agg(pl.col("rows").sum()).sort("rows", "reason", descending=[True, False])
    reasons = [r for r in totals["reason"] if r != "kept"]
    if not reasons:
        return [Paragraph("No row was dropped.")]
    counts = {(r["train_size"], r["arm"], r["reason"]): r["rows"] for r in data.reasons.iter_rows(named=True)}
    cells = data.reasons.select("train_size", "arm").unique().sort("train_size", "arm").iter_rows()
    order = [*reasons, "kept"]
    rows = [[f"{s}/{a}", *(str(counts.get((s, a, reason), 0)) for reason in order)] for s, a in cells]
    return [Table("Rows by the reason they were dropped for, and those kept.", ["Cell", *order], rows)]


def _lenses(data: ReportData) -> list[Block]:
    """Relevance and novelty by cell, and their figures."""
    rows = [
        [f"{c['train_size']}/{c['arm']}"]
        + [_number(c[k]) for k in ("relevance_all", "relevance_kept", "novelty_all", "novelty_kept")]
        + [_percent(c["distinct_prompts"])]
        for c in data.corpora.sort("train_size", "weight", "arm").iter_rows(named=True)
    ]
    text = (
        "Relevance is similarity to the target distribution, novelty is distance from the seed examples the teacher "
        "saw. High relevance with low novelty repeats the seeds; high novelty with low relevance has left the subject."
    )
    header = ["Cell", "Relevance, all", "Relevance, kept", "Novelty, all", "Novelty, kept", "Distinct prompts"]
    blocks: list[Block] = [Paragraph(text), Table("Means over the rows of a cell.", header, rows)]
    if not data.corpora.is_empty():
        alt = "Mean relevance against mean novelty of each cell: hollow for all rows, filled for kept, beside its size."
        blocks.append(Picture(plots.svg(plots.relevance_novelty_by_cell(data.corpora)), alt))
    if len(scored := data.rows.drop_nulls(["relevance", "novelty"])):
        alt = f"Relevance against novelty of {len(scored)} sampled rows, coloured by arm."
        order = data.corpora.select("arm", "weight").unique()
        ordered = scored.join(order, on="arm", how="left").sort("weight", "arm", "id")
        blocks.append(Picture(plots.svg(plots.relevance_against_novelty(ordered)), alt))
    if len(data.novelty_curve):
        curve = data.novelty_curve.sort("train_size", "arm", "rows")
        curve = curve.with_columns(label=pl.format("{}/{}", "train_size", "arm"))
        alt = "Novelty of what adding rows brings against corpus size, a line for each cell; falling means repetition."
        # Dozens of lines cannot be told apart, and replicates of a cell show the same course.
        others = data.corpora.filter(pl.col("replicate") > 0).select("train_size", "arm")
        if len(others):
            curve = curve.join(others, on=["train_size", "arm"], how="anti", maintain_order="left")
            alt += " First replicates only."
        blocks.append(Picture(plots.svg(plots.novelty_against_size(curve)), alt))
    return blocks


def _scorings(findings: Findings) -> list[Block]:
    """A table a benchmark with more than one scoring rule: the models by every metric but the log-probability."""
    blocks: list[Block] = []
    rules = findings.data.settings.get("benchmarks", {})
    for name, metrics in findings.metrics.items():
        shown = [metric for metric in metrics if metric != LOGPROB]
        if len(shown) < 2:
            continue
        scores = findings.data.scores.filter(pl.col("benchmark") == name)
        table: dict[str, dict[str, str]] = {}
        for r in scores.sort("train_size", "weight", "arm", nulls_last=False).iter_rows(named=True):
            share = r["metric"] not in LOWER_IS_BETTER and r["low"] >= 0 and r["high"] <= 1
            table.setdefault(_model(r["kind"], r["train_size"], r["arm"]), {})[r["metric"]] = _score(r, share=share)
        rows = [[model, *(cells.get(metric, "–") for metric in shown)] for model, cells in table.items()]
        rule = f" (rule {rules[name]})" if isinstance(rules, dict) and name in rules else ""
        blocks.append(Table(f"{name}{rule}: each scoring rule with its 95% interval.", ["Model", *shown], rows))
    return blocks or [Paragraph("Every benchmark has one scoring rule here.")]


def _examples(findings: Findings) -> list[Block]:
    """Random kept and dropped rows of the lowest and the highest weight at one size, side by side."""
    data = findings.data
    if data.rows.is_empty():
        return [Paragraph("There are no rows to show.")]
    weights = data.corpora.select("arm", "weight").unique().sort("weight", "arm")
    sizes = data.rows["train_size"].unique().sort().to_list()
    size = int(findings.recommended.split("/")[0]) if findings.recommended else sizes[-1]
    size = size if size in sizes else sizes[-1]
    present = set(data.rows.filter(pl.col("train_size") == size)["arm"])
    arms = [arm for arm in weights["arm"] if arm in present] or sorted(present)
    columns: dict[str, list[Example]] = {}
    for place, arm in enumerate(dict.fromkeys([arms[0], arms[-1]])):
        pool = data.rows.filter((pl.col("train_size") == size) & (pl.col("arm") == arm)).sort("id")
        generator = np.random.default_rng([int(data.settings["seed"]) % 2**63, size, place])
        for heading, part in (
            ("kept", pool.filter(pl.col("verdict") == "kept")),
            ("dropped", pool.filter(pl.col("verdict") != "kept")),
        ):
            chosen = generator.permutation(len(part))[:SHOWN_ROWS]
            columns[f"{size}/{arm}, {heading}"] = [_example(part.row(int(i), named=True)) for i in chosen]
    # Kept beside kept, dropped beside dropped.
    order = sorted(columns, key=lambda heading: heading.endswith("dropped"))
    text = "Drawn at random with the profile's seed, as the teachers wrote them; long texts are cut for display."
    return [Paragraph(text), Columns({heading: columns[heading] for heading in order})]


def _example(row: dict) -> Example:
    facts = row["verdict"] if row["verdict"] == "kept" else f"{row['verdict']}: {row['reason']}"
    scores = [f"{lens} {_number(row[lens])}" for lens in ("relevance", "novelty") if row[lens] is not None]
    texts = {"Prompt": row["prompt"], "Response": row["response"], "Nearest seed prompt": row["nearest_seed_prompt"]}
    parts = {name: _short(text) for name, text in texts.items() if text is not None}
    return Example(str(row["id"]), ", ".join([facts, *scores]), parts or {"Prompt": "(none was completed)"})


def _settings(data: ReportData) -> Table:
    def plain(value: object) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    rows = [["profile", data.profile_name]] + [[str(key), plain(value)] for key, value in data.settings.items()]
    return Table("What this report was made with.", ["Setting", "Value"], rows, words=2)


def _arm(findings: Findings, name: str) -> str:
    return f"{name} (prompt loss weight {findings.weights[name]:g})"


def _model(kind: str, size: int | None, arm: str | None) -> str:
    return f"{size}/{arm}" if kind == "student" else Side(kind).label + (f", {size} seeds" if kind == "control" else "")


def _label(group: tuple[int, str]) -> str:
    return f"{group[0]}/{group[1]}"


def _gap(row: dict, *, brief: bool = False) -> str:
    """A comparison in words: `+1.2 points (95% interval −0.8 to +3.1)`."""
    unit = {"share": " points", "nats": " nats per token", "score": ""}[row["unit"]]
    difference, interval = _numbers(row)
    return f"{difference}{unit}, {interval}" if brief else f"{difference}{unit} (95% interval {interval})"


def _ahead(row: dict) -> str:
    """The same where all of it is above zero and the sentence says so."""
    return _gap(row).replace("+", "")


def _numbers(row: dict) -> list[str]:
    scale, digits = (100, 1) if row["unit"] == "share" else (1, 3)
    mean, low, high = (_signed(row[key] * scale, digits) for key in ("difference", "low", "high"))
    return [mean, f"{low} to {high}"]


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def _score(row: dict | None, *, share: bool) -> str:
    if row is None:
        return "–"
    if share:
        return f"{_percent(row['mean'])} ({row['low'] * 100:.1f} to {row['high'] * 100:.1f})"
    return f"{_number(row['mean'])} ({_number(row['low'])} to {_number(row['high'])})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f}%"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _and(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _short(text: str) -> str:
    rest = len(text) - SHOWN_CHARACTERS
    return text if rest <= 0 else f"{text[:SHOWN_CHARACTERS]} … ({rest} more characters)"
