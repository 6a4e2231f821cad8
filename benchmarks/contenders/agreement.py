"""How a contender's verdicts agree with what was planted.

python benchmarks/contenders/agreement.py VERDICTS.parquet TRUTH.parquet
"""

import json
import sys

import polars as pl

KINDS = ("exact_repeat", "near_repeat", "seed_copy", "near_seed_copy", "contaminated")


def agreement(verdicts_path: str, truth_path: str) -> dict:
    """Recall of each planted kind (the share that was dropped, for whatever reason) and the share of clean rows dropped,
    near misses apart. A row without a verdict is an error."""
    verdicts = pl.read_parquet(verdicts_path).select("id", "dropped")
    truth = pl.read_parquet(truth_path)
    both = truth.join(verdicts, on="id", how="left", validate="1:1")
    if both.height != verdicts.height or both["dropped"].null_count():
        raise ValueError(f"{verdicts_path} does not hold one verdict for each row of {truth_path}")

    def share(rows: pl.Expr) -> float | None:
        return both.filter(rows)["dropped"].mean()

    clean = pl.col("planted") == "clean"
    return {
        **{kind: share(pl.col("planted") == kind) for kind in KINDS},
        "planted": share(~clean),
        "clean_dropped": share(clean & ~pl.col("near_miss")),
        "near_misses_dropped": share(clean & pl.col("near_miss")),
    }


if __name__ == "__main__":
    print(json.dumps(agreement(*sys.argv[1:3]), indent=1))
