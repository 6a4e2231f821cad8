"""What the three curves show, and the verdict on whether synthetic data is worth trying.

Worked example: five replicates, 60 dev questions. With all gold rows the models have 40% right, with half of them 30%, in every
replicate: +10 points with an interval above zero. More rows still help, so rows that somebody else writes may help too:
"worth trying". Where the interval of that difference ends below `margin`, doubling the data brings less than what is worth the
work, and synthetic rows, which are no better than gold ones, will hardly bring more: "do not bother". Anything else cannot be told.

Differences are paired by replicate and question (crossed.py). A difference is called by the mean of right answers or by the
log-probability of the answer, corrected for there being two (Holm). With fewer than FEWEST_REPLICATES only a large difference
is called, and only where every replicate agrees; with one replicate, or on fewer than six clusters of questions, none is.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY
from nomad_assets.recipe.evaluation.crossed import CONFIDENCE, FEWEST_REPLICATES, ROUNDING, Crossed, crossed, holm
from nomad_assets.recipe.evaluation.statistics import settling_questions
from nomad_assets.recipe.headroom.design import precision_of
from nomad_assets.recipe.headroom.measure import RIGHT, ROWS, VOTES, WRONG
from nomad_assets.recipe.headroom.votes import AGREEMENT, ANY_RIGHT, MAJORITY, SINGLE

LARGE = {RIGHT: 0.10, LOG_PROBABILITY: 0.20}
"""What counts as large with few replicates: ten points, or 0.2 nats per token of the answer."""
FLOOR = 0.02
"""Share right below which no model can be told apart by right answers."""

NEVER_SEEN = 3.0
"""Of the rule of three."""

CONTRASTS = {
    "a": str, "b": str, "metric": str, "n": int, "clusters": int, "replicates": int, "difference": float, "low": float,
    "high": float, "p": float, "call": str,
}  # fmt: skip

Call = Literal["higher", "lower", "open"]
Verdict = Literal["worth trying", "do not bother", "cannot tell"]
At = tuple[str, float, str]  # curve, point, metric


@dataclass(frozen=True)
class Contrast:
    """The paired difference of two points by one metric."""

    metric: str
    found: Crossed
    by_replicate: tuple[float, ...]
    differing: int
    """Clusters of questions with any difference at all."""

    def is_below(self, margin: float) -> bool:
        """Whether the difference is shown to be smaller than a margin. Flatness is no large effect: it takes all replicates.

        Where hardly a question differs the interval is too narrow; by the rule of three (Hanley and Lippman-Hand 1983) what
        was never seen on n questions has a share of at most 3 / n.
        """
        seen = self.differing >= settling_questions(CONFIDENCE) or self.found.clusters >= NEVER_SEEN / margin
        return _enough(self.found) and seen and self.found.high < margin


@dataclass(frozen=True)
class Judged:
    """A difference by right answers and by log-probability, and what the two show together."""

    contrasts: dict[str, Contrast]
    """By metric: right, where a benchmark has right answers, and answer_logprob."""
    call: Call

    @property
    def right(self) -> Contrast | None:
        return self.contrasts.get(RIGHT)


@dataclass(frozen=True)
class WrongRows:
    """The largest size with a share of wrong rows."""

    share: float
    precision: float | None
    """Of the rows that stand behind the next smaller size; None where more are wrong than were added."""
    against_right: Judged
    """Against the same rows without a wrong one."""
    against_fewer: Judged
    """Against the next smaller size, all of it gold."""


class Findings:
    """Everything that the page says, computed from the table of scores."""

    def __init__(self, scores: pl.DataFrame, margin: float):
        """`scores`: columns of HeadroomScores; `margin`: smallest gain worth the work, a share of the questions."""
        self.scores, self.margin = scores, margin
        rows = scores.filter(curve=ROWS)
        self.sizes = sorted(int(size) for size in rows["point"].unique())
        self.largest, self.smaller = self.sizes[-1], self.sizes[-2]
        self.replicates = rows.filter(point=self.largest)["replicate"].n_unique()
        self.metrics = [name for name in (RIGHT, LOG_PROBABILITY) if name in rows["metric"]]
        self.answers = int(scores.filter(curve=VOTES)["point"].max() or 0)
        asked = rows.select("benchmark", "question_id", "cluster").unique()
        self.asked = _counts(asked)
        self.rise = self.judged({m: ((ROWS, self.largest, m), (ROWS, self.smaller, m)) for m in self.metrics})
        self.taught = self._taught()
        self.votes = {name: self._vote(name) for name in (SINGLE, MAJORITY, ANY_RIGHT)} if self.answers else {}
        self.wrong = [self._wrong(share) for share in sorted(scores.filter(curve=WRONG)["point"].unique())]

    def values(self, at: At) -> tuple[np.ndarray, list[str], list[str]]:
        """(values of shape (replicates, questions), cluster and benchmark of each question) of one point.

        The untouched base, which has no luck of training, is the same in every replicate.
        """
        curve, point, metric = at
        found = self.scores.filter(curve=curve, point=float(point), metric=metric)
        found = found.sort("replicate", "benchmark", "question_id")
        first = found.filter(replicate=found["replicate"].min())
        values = found["value"].to_numpy().reshape(-1, first.height)
        if len(values) == 1 and self.replicates > 1:
            values = np.repeat(values, self.replicates, axis=0)
        return values, first["cluster"].to_list(), first["benchmark"].to_list()

    def score(self, at: At) -> Crossed:
        """The mean score of a point with its interval, over replicates and questions, within what a score can be."""
        found = crossed(*self.values(at))
        least, most = (-np.inf, 0.0) if at[2] == LOG_PROBABILITY else (0.0, 1.0)
        return replace(found, low=max(found.low, least), high=min(found.high, most))

    def by_replicate(self, at: At) -> list[float]:
        """The mean over benchmarks in each replicate."""
        values, _, strata = self.values(at)
        return _means(values, strata)

    def contrast(self, a: At, b: At) -> Contrast:
        left, clusters, strata = self.values(a)
        gaps = left - self.values(b)[0]
        names = {
            (stratum, cluster)
            for stratum, cluster, column in zip(strata, clusters, gaps.T, strict=True)
            if np.abs(column).max() > ROUNDING
        }
        return Contrast(b[2], crossed(gaps, clusters, strata), tuple(_means(gaps, strata)), len(names))

    def judged(self, pairs: dict[str, tuple[At, At]]) -> Judged:
        return judge({metric: self.contrast(a, b) for metric, (a, b) in pairs.items()})

    def _taught(self) -> Judged | None:
        """All gold rows against the untouched base."""
        if self.sizes[0] != 0:
            return None
        return self.judged({m: ((ROWS, self.largest, m), (ROWS, 0, m)) for m in self.metrics})

    def _vote(self, name: str) -> Judged:
        """What k sampled answers make of a question, against the greedy one of the same model."""
        left, right = (VOTES, self.answers, name), (ROWS, self.largest, RIGHT)
        return judge({RIGHT: self.contrast(left, right)})

    def _wrong(self, share: float) -> WrongRows:
        whole = {m: ((WRONG, share, m), (ROWS, self.largest, m)) for m in self.metrics}
        fewer = {m: ((WRONG, share, m), (ROWS, self.smaller, m)) for m in self.metrics}
        precision = precision_of(share, self.largest, self.smaller)
        return WrongRows(share, precision, self.judged(whole), self.judged(fewer))

    def agreeing(self, least: int) -> tuple[float, float | None]:
        """(share of questions on which at least so many sampled answers agree, share of those whose majority is right)."""
        votes = self.scores.filter(curve=VOTES)
        wide = votes.pivot("metric", index=["replicate", "benchmark", "question_id"], values="value")
        kept = wide.filter(pl.col(AGREEMENT) >= least / self.answers - 1e-9)
        return kept.height / max(wide.height, 1), kept[MAJORITY].mean()

    def contrasts(self) -> pl.DataFrame:
        """Every difference that the page calls or leaves open, one row a measure (CONTRASTS)."""
        named = [(f"{self.largest} rows", f"{self.smaller} rows", self.rise)]
        named += [(f"{self.largest} rows", "untouched base", self.taught)] if self.taught else []
        named += [(f"{name} of {self.answers}", "greedy", judged) for name, judged in self.votes.items()]
        for wrong in self.wrong:
            label = f"{self.largest} rows, {wrong.share:g} wrong"
            named += [(label, f"{self.largest} rows", wrong.against_right)]
            named += [(label, f"{self.smaller} rows", wrong.against_fewer)]
        rows = [
            (a, b, c.metric, c.found.n, c.found.clusters, c.found.replicates, c.found.mean, c.found.low, c.found.high, c.found.p, judged.call)
            for a, b, judged in named
            for c in judged.contrasts.values()
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=CONTRASTS, orient="row")

    @property
    def at_ceiling(self) -> bool:
        """Whether less than the margin is left to gain; what was never wrong on n questions may be on 3 / n."""
        if RIGHT not in self.metrics:
            return False
        found = self.score((ROWS, self.largest, RIGHT))
        return _enough(found) and found.clusters >= NEVER_SEEN / self.margin and found.low > 1 - self.margin

    @property
    def on_the_floor(self) -> bool:
        """Whether no model has enough right for right answers to tell anything."""
        return RIGHT in self.metrics and all(self.score((ROWS, n, RIGHT)).mean < FLOOR for n in self.sizes)

    @property
    def stopped(self) -> bool:
        """Whether more data is shown to bring less than the margin. Log-probability can show that it brings more, never less."""
        right = self.rise.right
        if right is None or self.on_the_floor or self.rise.call == "higher":
            return self.rise.call == "lower"
        return self.rise.call == "lower" or right.is_below(self.margin)

    @property
    def verdict(self) -> Verdict:
        if self.at_ceiling or self.stopped:
            return "do not bother"
        return "worth trying" if self.rise.call == "higher" else "cannot tell"

    @property
    def harvest(self) -> bool:
        """Whether a program that knows a right answer would find one much more often than greedy decoding writes one."""
        found = self.votes.get(ANY_RIGHT)
        return found is not None and found.call == "higher" and found.right.found.low > self.margin


def judge(contrasts: dict[str, Contrast]) -> Judged:
    """What the differences by several metrics show: nothing where two that count disagree."""
    ps = holm([c.found.p if c.found.p is not None else 1.0 for c in contrasts.values()])
    calls = {_call(c, p) for c, p in zip(contrasts.values(), ps, strict=True)} - {"open"}
    return Judged(contrasts, calls.pop() if len(calls) == 1 else "open")


def _call(contrast: Contrast, p: float) -> Call:
    found = contrast.found
    if found.replicates == 1 or found.clusters < settling_questions(CONFIDENCE) or p >= 1 - CONFIDENCE:
        return "open"
    if not _enough(found):
        agree = len({np.sign(gap) for gap in contrast.by_replicate}) == 1
        if not agree or abs(found.mean) < LARGE[contrast.metric]:
            return "open"
    return "higher" if found.mean > 0 else "lower"


def _enough(found: Crossed) -> bool:
    """Whether there are replicates and clusters enough for more than large effects."""
    return found.replicates >= FEWEST_REPLICATES and found.clusters >= settling_questions(CONFIDENCE)


def _means(values: np.ndarray, strata: list[str]) -> list[float]:
    """Mean of each replicate, benchmarks weighing the same."""
    names = np.asarray(strata)
    return np.mean([values[:, names == name].mean(axis=1) for name in sorted(set(strata))], axis=0).tolist()


def _counts(asked: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Benchmark -> (questions, clusters of them)."""
    counts = asked.group_by("benchmark").agg(pl.len(), pl.col("cluster").n_unique().alias("clusters")).sort("benchmark")
    return {name: (questions, clusters) for name, questions, clusters in counts.iter_rows()}
