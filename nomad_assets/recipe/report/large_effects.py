"""What even one replicate settles: differences between arms that are far larger than the luck of the attempts."""

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from nomad_assets.cells import VARIANT
from nomad_assets.recipe.evaluation.statistics import Interval, share_interval
from nomad_assets.recipe.report.formatting import listed, number, percent


def what_is_settled(corpora: pl.DataFrame) -> Iterator[str]:
    """A sentence for each figure of which the 95% intervals of two arms do not touch, all sizes and replicates together.

    `corpora` as in ReportData. The sentences speak of these teachers: attempts of one teacher share its luck.
    """
    own = corpora.filter(~pl.col("arm").str.contains(VARIANT, literal=True))
    for what, written, interval_of in FIGURES:
        of_arms = {arm: interval_of(found) for (arm,), found in own.group_by("arm", maintain_order=True)}
        known = {arm: interval for arm, interval in of_arms.items() if interval is not None}
        if len(known) > 1 and max(i.low for i in known.values()) > min(i.high for i in known.values()):
            arms = [f"{arm} {written(i.mean)} ({written(i.low)} to {written(i.high)})" for arm, i in known.items()]
            yield f"{what}: {listed(arms)}."


def _share_of_attempts(column: str) -> Callable[[pl.DataFrame], Interval | None]:
    def interval(found: pl.DataFrame) -> Interval | None:
        attempts = found["attempts"].sum()
        return share_interval(found[column].sum(), attempts) if attempts else None

    return interval


def _relevance(found: pl.DataFrame) -> Interval | None:
    """Mean over completed rows with Student's interval; None where fewer than three rows are there."""
    from scipy.stats import t  # takes a second to import

    rows: list[Mapping] = found.drop_nulls(["relevance_all", "relevance_sd"]).to_dicts()
    n = sum(row["completed"] for row in rows)
    if n < 3:
        return None
    mean = sum(row["completed"] * row["relevance_all"] for row in rows) / n
    squares = sum(
        (row["completed"] - 1) * row["relevance_sd"] ** 2 + row["completed"] * (row["relevance_all"] - mean) ** 2
        for row in rows
    )
    reach = t.ppf(0.975, n - 1) * (squares / (n - 1) / n) ** 0.5
    return Interval(mean, mean - reach, mean + reach, n)


FIGURES = (
    ("Attempts in which the teacher ended its prompt", percent, _share_of_attempts("prompts_completed")),
    ("Relevance of what it wrote (NormSim to the seed examples)", number, _relevance),
    ("Attempts that gave a kept row without a sign of error", percent, _share_of_attempts("kept_without_error")),
)
