"""The looks at a grid's headline comparison while its replicates are being made.

What is compared is settled before the first look, from the dev questions of the first replicates: the train size and arm with the best
mean, and the strongest control of that size. The looks themselves are at the test questions. So a look is a pure function of what is
stored: a run that is started again comes to the same decision.
"""

from typing import TYPE_CHECKING, NamedTuple

from nomad_assets.recipe.evaluation.benchmarks import primary
from nomad_assets.recipe.evaluation.crossed import crossed_gaps
from nomad_assets.recipe.evaluation.sequential import Decision, Look, decide, looks

if TYPE_CHECKING:
    import polars as pl


class Taken(NamedTuple):
    """One look, and what it came to."""

    look: Look
    train_size: int
    arm: str
    control: str | None
    """Its name; None is that of seeds alone."""
    mean: float
    """Difference of student and control, as a share."""
    p: float
    decision: Decision

    @property
    def ends(self) -> bool:
        return self.decision != "go on"

    def words(self) -> str:
        """`after 6 replicates: 64/unmasked +9.1 points, p = 0.0008 below 0.0027, stop: higher`."""
        side = "below" if self.p < self.look.level else "not below"
        return (
            f"after {self.look.replicates} replicates: {self.train_size}/{self.arm} {100 * self.mean:+.1f} points against "
            f"{self.control or 'seeds alone'}, p = {self.p:.4f} {side} {self.look.level:.4f}: {self.decision}"
        )


def looks_taken(results: "pl.DataFrame", start: int, most: int, rivals: tuple[str | None, ...]) -> list[Taken]:
    """The looks after `start` replicates and each further one that is whole, up to the one that ends them.

    `results`: kind, train_size, replicate, arm, benchmark, question_id, metric, value, cluster, split (see ReportData). `rivals` are
    the names of the controls that count.
    """
    import polars as pl

    metrics = {
        name: primary(found)
        for name, found in results.group_by("benchmark", maintain_order=True)
        .agg(pl.col("metric").unique(maintain_order=True))
        .iter_rows()
    }
    chosen = pl.DataFrame(list(metrics.items()), schema=["benchmark", "metric"], orient="row")
    scored = results.join(chosen, on=["benchmark", "metric"]).filter(
        pl.col("value").is_between(0, 1).all().over("benchmark")
    )
    pair = _headline(scored.filter(pl.col("replicate") < start), start, rivals)
    if pair is None:
        return []
    (size, arm), control = pair
    gaps = _gaps(scored.filter(train_size=size, split="test"), arm, control)
    found: list[Taken] = []
    plan = looks(start, most)
    for look in plan:
        first = gaps.filter(pl.col("replicate") < look.replicates)
        if first["replicate"].n_unique() < look.replicates:
            break
        result = crossed_gaps(first)
        if result is None:
            break
        decision = decide(result.mean, result.p, look.replicates, plan)
        found.append(Taken(look, size, arm, control, result.mean, result.p, decision))
        if found[-1].ends:
            break
    return found


def _headline(
    scored: "pl.DataFrame", replicates: int, rivals: tuple[str | None, ...]
) -> tuple[tuple[int, str], str | None] | None:
    """((train size, arm), control) by the dev questions; None before all replicates of some cell and its control are there."""
    import polars as pl

    by = ["kind", "train_size", "arm"]
    dev = scored.filter(pl.col("kind").is_in(["student", "control"]) & (pl.col("split") == "dev"))
    means = dev.group_by(*by, "benchmark").agg(pl.col("value").mean(), pl.col("replicate").n_unique())
    whole = means.group_by(by).agg(pl.col("value").mean(), pl.col("replicate").min()).filter(replicate=replicates)
    students = whole.filter(kind="student").sort("value", "train_size", "arm", descending=[True, False, False])
    for size, arm in students.select("train_size", "arm").iter_rows():
        controls = whole.filter(kind="control", train_size=size).filter(
            pl.col("arm").is_in(list(rivals), nulls_equal=True)
        )
        if controls.height:
            return (size, arm), controls.sort("value", "arm", descending=[True, False])["arm"][0]
    return None


def _gaps(scored: "pl.DataFrame", arm: str, control: str | None) -> "pl.DataFrame":
    """benchmark, question_id, cluster, replicate, gap."""
    import polars as pl

    on = ["benchmark", "question_id", "replicate"]
    right = scored.filter(kind="control").filter(pl.col("arm").eq_missing(pl.lit(control, pl.String)))
    left = scored.filter(kind="student", arm=arm)
    both = left.join(right.select(*on, other="value"), on=on)
    return both.select(*on, "cluster", gap=pl.col("value") - pl.col("other")).sort(
        "replicate", "benchmark", "question_id"
    )
