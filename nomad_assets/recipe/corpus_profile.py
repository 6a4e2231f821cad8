"""What a corpus is like in figures: relevance, novelty, diversity, yield."""

import itertools
from typing import TYPE_CHECKING

from nomad_assets.recipe.overlap import folded, tokens

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

CURVE_POINTS = 40


def corpus_metrics(curated: "pl.DataFrame") -> dict[str, float | None]:
    """Figures of one curated corpus; None where there is no row to measure.

    relevance_*: mean NormSim_2 to the seed pool. novelty_*: mean 1 - cosine to the nearest seed row of the teacher.
    distinct_prompts: share of different prompts among the completed rows. distinct_2: share of different word pairs.
    yield_kept: kept rows per attempt.
    """
    import polars as pl

    attempts = curated["attempt"].n_unique()
    ended = curated.filter(pl.col("prompt_end") == "completed")["attempt"].n_unique()
    done = curated.filter(pl.col("response_end") == "completed")
    kept = curated.filter(pl.col("verdict") == "kept")
    first = curated.unique("attempt", keep="first")
    return {
        "attempts": float(attempts),
        "prompts_completed": float(ended),
        "prompt_completion_rate": ended / attempts,
        "rows_completed": float(done.height),
        "kept": float(kept.height),
        "yield_kept": kept.height / attempts,
        "relevance_all": done["normsim_2"].mean(),
        "relevance_kept": kept["normsim_2"].mean(),
        "novelty_all": done["novelty"].mean(),
        "novelty_kept": kept["novelty"].mean(),
        "distinct_prompts": _share_distinct([folded(prompt) for prompt in done["prompt"]]),
        "distinct_2": _share_distinct([pair for prompt in kept["prompt"] for pair in _pairs(prompt)]),
        "prompt_tokens": float(first["prompt_tokens"].sum()),
        "response_tokens": float(curated["response_tokens"].sum()),
        "mean_agreement": done["agreement"].mean(),
    }


def _pairs(text: str) -> list[tuple[str, str]]:
    return list(itertools.pairwise(tokens(text)))


def _share_distinct(items: list[tuple]) -> float | None:
    return len(set(items)) / len(items) if items else None


def kept_bounds(curated: "pl.DataFrame", norm: str) -> tuple[float, float]:
    """Smallest and largest NormSim among the kept rows; (0, 1) when there are none."""
    import polars as pl

    kept = curated.filter(pl.col("verdict") == "kept")["normsim_inf" if norm == "inf" else "normsim_2"]
    return (float(kept.min()), float(kept.max())) if kept.len() else (0.0, 1.0)


def novelty_curve(curated: "pl.DataFrame", embeddings: "np.ndarray", seed: int) -> "pl.DataFrame":
    """Mean novelty of the first n completed rows, in an order shuffled by `seed`, at up to 40 values of n.

    A row's novelty here is 1 - its highest cosine similarity to the teacher's seed rows and to every row before it, so
    a corpus that repeats itself loses novelty as it grows. `embeddings` (m, d) are the completed rows' unit vectors.
    """
    import numpy as np
    import polars as pl

    schema = {"rows": int, "novelty": float}
    done = curated.filter(pl.col("response_end") == "completed")
    if done.height == 0:
        return pl.DataFrame(schema=schema)
    order = np.random.default_rng(seed).permutation(done.height)
    vectors, to_seed = embeddings[order], done["seed_similarity"].to_numpy()[order]
    novelty = np.empty(len(order))
    for n in range(len(order)):
        earlier = float((vectors[:n] @ vectors[n]).max()) if n else -1.0
        novelty[n] = 1 - min(max(earlier, to_seed[n]), 1.0)
    sizes = np.unique(np.linspace(1, len(order), min(CURVE_POINTS, len(order))).round().astype(int))
    means = novelty.cumsum()[sizes - 1] / sizes
    return pl.DataFrame({"rows": sizes.astype(np.int64), "novelty": means}, schema=schema)
