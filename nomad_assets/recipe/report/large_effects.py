"""What even one replicate settles: a difference between arms that is far larger than the luck of the attempts."""

import polars as pl

from nomad_assets.cells import VARIANT
from nomad_assets.recipe.evaluation.statistics import share_interval
from nomad_assets.recipe.report.formatting import listed, percent


def who_ends_prompts(corpora: pl.DataFrame) -> str | None:
    """The sentence on the share of attempts whose prompt the teacher ended, all sizes and replicates together, where the 95%
    intervals (Wilson's) of two arms do not touch; None where they all do. It speaks of these teachers: attempts of one
    teacher share its luck."""
    own = corpora.filter(~pl.col("arm").str.contains(VARIANT, literal=True))
    by_arm = own.group_by("arm", maintain_order=True).agg(pl.col("attempts", "prompts_completed").sum())
    shares = {
        arm: share_interval(ended, attempts)
        for arm, attempts, ended in by_arm.select("arm", "attempts", "prompts_completed").iter_rows()
    }
    if len(shares) < 2 or max(i.low for i in shares.values()) <= min(i.high for i in shares.values()):
        return None
    found = [f"{arm} {percent(i.mean)} ({percent(i.low)} to {percent(i.high)})" for arm, i in shares.items()]
    return f"The share of attempts in which these teachers ended their prompt: {listed(found)}."
