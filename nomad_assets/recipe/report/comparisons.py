"""Paired comparisons of students, controls and the base model, replicate by replicate and question by question.

Worked example: two questions, one replicate. `unmasked` (w = 1) is right on both, `masked` (w = 0) on the first only.
The paired differences are 0 and 1, their mean is 50 points. Over several benchmarks each weighs the same, over several train
sizes a question's differences are averaged. With one replicate the interval has the luck of the questions alone, and speaks of
these two students; with several it has that of seeds, training and sampling too, and speaks of the recipe (crossed.py).
Only test questions are compared on.
"""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from nomad_assets.cells import VARIANT
from nomad_assets.errors import NomadError
from nomad_assets.profile.grid_settings import SHUFFLED as _SHUFFLED
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY, primary
from nomad_assets.recipe.evaluation.crossed import CONFIDENCE, Crossed, crossed_gaps, equivalence, holm
from nomad_assets.recipe.report.report_data import ReportData

LOGPROB = LOG_PROBABILITY
LOWER_IS_BETTER = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "wer"}
)
"""Metrics of lm-evaluation-harness that fall as models improve: shown, never pooled or used to recommend."""
FLOOR = 0.02
"""Best share right below which a benchmark is called too hard for these models to be told apart by."""
SHUFFLED = f"{VARIANT}{_SHUFFLED}"
METRIC_KEY = ["benchmark", "metric"]
"""Columns that name a score: a benchmark has several metrics."""
COMPARISON_SCHEMA = {
    "comparison": pl.String, "a": pl.String, "b": pl.String, "train_size": pl.Int64, "benchmark": pl.String,
    "measure": pl.String, "metric": pl.String, "unit": pl.String, "n": pl.Int64, "replicates": pl.Int64,
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "p_flips": pl.Float64,
    "verdict": pl.String,
}  # fmt: skip


class Side(NamedTuple):
    """One side of a comparison: students of an arm (and a selection of its rows), a control, or the base model."""

    kind: str
    arm: str | None = None
    """`unmasked`, `unmasked@high`, or the name of a control beside that of seeds alone."""

    @property
    def label(self) -> str:
        if self.kind == "base":
            return "untouched base"
        return control_label(self.arm) if self.kind == "control" else str(self.arm)


def control_label(name: str | None) -> str:
    return "seed-only control" if name is None else f"control {name}"


BASE, CONTROL = Side("base"), Side("control")
RIVALS = (None, "seeds_tuned", "prompt_loss_student", "new_answers")
"""Controls that a user could take instead of synthetic rows. `gold` takes examples that nobody has, and `shuffled` none that
anybody wants."""


class Findings:
    """The numbers of the report: primary metrics, arms, train sizes and paired comparisons."""

    def __init__(self, data: ReportData):
        self.data = data
        self.values = _checked(data.results)
        self.benchmarks = list(data.scores["benchmark"].unique(maintain_order=True))
        self.metrics = {
            name: list(data.scores.filter(pl.col("benchmark") == name)["metric"].unique(maintain_order=True))
            for name in self.benchmarks
        }
        self.primary = {n: primary(m) for n, m in self.metrics.items()}
        self.shares = {n: m for n, m in self.primary.items() if _is_share(data, n, m)}
        """Benchmarks with a primary metric that is a share, more is better: the ones that can be pooled."""
        self.logprobs = {n: LOGPROB for n, m in self.metrics.items() if LOGPROB in m and m[0] != LOGPROB}
        students = data.scores.filter(pl.col("kind") == "student").sort("prompt_loss", "arm", nulls_last=True)
        every = dict(students.select("arm", "prompt_loss").unique(maintain_order=True).iter_rows())
        self.arms = {name: weight for name, weight in every.items() if not name.endswith(SHUFFLED)}
        """Prompt loss weight by name, lowest first; at the end the arms of the untouched model, which have None. Selections of
        an arm's rows count as arms of their own: `unmasked@high`."""
        self.shuffled = {name.removesuffix(SHUFFLED): name for name in every if name.endswith(SHUFFLED)}
        """The control that has an arm's prompts with other rows' responses, by the arm."""
        self.controls = data.scores.filter(kind="control")["arm"].unique(maintain_order=True).to_list()
        """Names of the controls; None is that of seeds alone."""
        self.weights = {name: weight for name, weight in self.arms.items() if weight is not None}
        """The arms that are trained."""
        self.sizes = data.scores["train_size"].drop_nulls().unique().sort().to_list()
        self.comparisons = pl.DataFrame(list(_corrected(list(self._compare_all()))), schema=COMPARISON_SCHEMA)

    def side(self, side: Side, size: int | None = None, split: str = "test") -> pl.DataFrame:
        """Values of one side, by replicate and question; all sizes when `size` is None."""
        chosen = self.values.filter(kind=side.kind, split=split)
        if side.kind != "base":
            chosen = chosen.filter(pl.col("arm").eq_missing(pl.lit(side.arm, pl.String)))
        return chosen if size is None else chosen.filter(pl.col("train_size") == size)

    def strongest(self, size: int | None = None) -> Side:
        """The control with the best mean over benchmarks on the dev questions, of those that could be had instead of synthetic
        rows; without dev questions that of seeds alone."""
        means = {
            name: self.mean(self.side(Side("control", name), size, "dev")) for name in RIVALS if name in self.controls
        }
        known = {name: mean for name, mean in means.items() if mean is not None}
        return Side("control", max(known, key=known.__getitem__)) if known else CONTROL

    def mean(self, values: pl.DataFrame, metrics: dict[str, str] | None = None) -> float | None:
        """Mean over benchmarks, of the share right unless other metrics are named; None where one of them has no value."""
        named = self.shares if metrics is None else metrics
        parts = [values.filter(benchmark=name, metric=metric)["value"].mean() for name, metric in named.items()]
        return sum(parts) / len(parts) if parts and None not in parts else None

    def floors(self) -> dict[str, float]:
        """Benchmarks on which no model is right often enough to be told apart by: the best share."""
        best = {
            name: self.data.scores.filter(benchmark=name, metric=metric)["mean"].max()
            for name, metric in self.shares.items()
        }
        return {name: share for name, share in best.items() if share is not None and share <= FLOOR}

    def gaps(self, a: pl.DataFrame, b: pl.DataFrame, metrics: dict[str, str], *, same_size: bool) -> pl.DataFrame:
        """Paired differences a − b: benchmark, question_id, cluster, replicate, gap; sizes averaged.

        Only replicates that have all the sizes and questions that any of them has: others would compare something else.
        """
        chosen = pl.DataFrame(
            {"benchmark": list(metrics), "metric": list(metrics.values())}, schema=dict.fromkeys(METRIC_KEY, pl.String)
        )
        repeated = not b["replicate"].is_null().all()  # the base model has no replicates
        on = [*METRIC_KEY, "question_id", *(["train_size"] if same_size else []), *(["replicate"] if repeated else [])]
        right = b.select(*on, other="value")
        pairs = a.join(chosen, on=METRIC_KEY).join(right, on=on).with_columns(gap=pl.col("value") - pl.col("other"))
        whole = pl.len().over("replicate")
        pairs = pairs.filter(whole == whole.max())
        # The same questions come back at every size: they are the unit that is drawn, so sizes average first.
        by = ["benchmark", "question_id", "cluster", "replicate"]
        return pairs.group_by(by).agg(pl.col("gap").mean()).sort(by)

    def difference(
        self, a: pl.DataFrame, b: pl.DataFrame, metrics: dict[str, str], *, same_size: bool
    ) -> Crossed | None:
        """Mean over benchmarks of the paired difference a − b; None when they share no question."""
        gaps = self.gaps(a, b, metrics, same_size=same_size)
        return None if gaps.is_empty() else crossed_gaps(gaps)

    def found(self, a: Side, b: Side, size: int | None, benchmark: str | None, measure: str = "primary") -> dict | None:
        """The row of `comparisons` for these two sides, or None if it could not be made."""
        rows = self.comparisons.filter(
            (pl.col("a") == a.label) & (pl.col("b") == b.label) & (pl.col("measure") == measure)
            & pl.col("train_size").eq_missing(pl.lit(size, pl.Int64))
            & pl.col("benchmark").eq_missing(pl.lit(benchmark, pl.String))
        )  # fmt: skip
        return rows.row(0, named=True) if len(rows) else None

    def pairs(self) -> list[tuple[Side, Side]]:
        """Other arms against the lowest weight, every arm against its shuffled rows, the controls and the base, the controls
        against that of seeds alone, and this against the base."""
        arms = [Side("student", name) for name in self.arms]
        controls = [Side("control", name) for name in self.controls]
        pairs = [(arm, arms[0]) for arm in arms[1:]]
        pairs += [(arm, Side("student", self.shuffled[arm.arm])) for arm in arms if arm.arm in self.shuffled]
        pairs += [(arm, control) for control in controls for arm in arms]
        pairs += [(control, CONTROL) for control in controls if control != CONTROL and CONTROL in controls]
        if not self.data.scores.filter(kind="base").is_empty():
            pairs += [(side, BASE) for side in [*arms, *(c for c in controls if c == CONTROL)]]
        return pairs

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
                        "unit": unit, "n": result.n, "replicates": result.replicates, "difference": result.mean,
                        "low": result.low, "high": result.high, "p": result.p, "p_flips": result.p_flips,
                        "verdict": _verdict(result, self.data.margin if unit == "share" else None),
                    }  # fmt: skip


def equivalent_words(margin: float) -> str:
    """The verdict on a difference that is shown to lie within a margin, a share."""
    return f"equivalent within {margin * 100:g} points"


def _verdict(found: Crossed, margin: float | None) -> str:
    """In words. Where no difference is shown, an interval wholly within the margin shows that there is none that counts."""
    if margin is not None and found.verdict == "no difference shown":
        shown = equivalence(found, margin)
        if shown is not None and shown.shown:
            return equivalent_words(margin)
    return found.verdict


def _corrected(rows: list[dict]) -> list[dict]:
    """Verdicts over all sizes and benchmarks on arms and the controls that could be had instead stand together at the head of
    the report: Holm's correction is for these."""
    rivals = [control_label(name) for name in RIVALS]
    heads = [
        row for row in rows
        if row["train_size"] is None and row["benchmark"] is None and row["measure"] == "primary"
        and row["p"] is not None and row["a"] not in rivals and row["b"] != BASE.label
        and (row["b"] in rivals or (not row["b"].startswith(control_label("")) and not row["b"].endswith(SHUFFLED)))
    ]  # fmt: skip
    for row, p in zip(heads, holm([row["p"] for row in heads]), strict=True):
        if p >= 1 - CONFIDENCE and row["verdict"] in ("higher", "lower"):
            row["verdict"] = "no difference shown"
        row["p"] = p
    return rows


def _checked(results: pl.DataFrame) -> pl.DataFrame:
    bad = results.filter(pl.col("value").is_null() | ~pl.col("value").is_finite())
    if len(bad):
        where = ["kind", "train_size", "replicate", "arm", "benchmark", "metric"]
        cases = bad.head(20).select(*where, "question_id", "value").to_dicts()
        raise NomadError(f"report: {len(bad)} results are not a finite number, first in {cases[0]}", cases)
    return results


def _is_share(data: ReportData, benchmark: str, metric: str) -> bool:
    values = data.results.filter((pl.col("benchmark") == benchmark) & (pl.col("metric") == metric))["value"]
    if metric in LOWER_IS_BETTER or metric == LOGPROB or values.is_empty():
        return False
    return values.min() >= 0 and values.max() <= 1
