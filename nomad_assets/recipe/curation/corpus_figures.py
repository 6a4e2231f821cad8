"""What a corpus is like in figures: relevance, novelty, diversity, yield."""

import itertools
from typing import TYPE_CHECKING

from nomad_assets.recipe.curation.contamination import folded, tokens
from nomad_assets.recipe.curation.signs import signs_of_error

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

CURVE_POINTS = 40
SAMPLED = 256
BLOCK = 4096


def corpus_metrics(curated: "pl.DataFrame") -> dict[str, float | None]:
    """Figures of one curated corpus; None where there is no row to measure.

    relevance_*: mean NormSim_2 to the seed pool; relevance_sd: its standard deviation over completed rows. novelty_*: mean 1 - cosine to the nearest seed row of the teacher.
    distinct_prompts: share of different prompts among the completed rows. distinct_2: share of different word pairs.
    yield_kept: kept rows per attempt. kept_without_error: kept rows in which no rule that looks for errors finds any.
    agreement_kept: mean share of a prompt's responses that agree with the row's answer, over kept rows; None where no prompt
    has several.
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
        "kept_without_error": float(signs_of_error(kept).count(None)),
        "yield_kept": kept.height / attempts,
        "relevance_all": done["normsim_2"].mean(),
        "relevance_sd": done["normsim_2"].std(),
        "relevance_kept": kept["normsim_2"].mean(),
        "novelty_all": done["novelty"].mean(),
        "novelty_kept": kept["novelty"].mean(),
        "distinct_prompts": _share_distinct([folded(prompt) for prompt in done["prompt"]]),
        "distinct_2": _share_distinct([pair for prompt in kept["prompt"] for pair in _pairs(prompt)]),
        "prompt_tokens": float(first["prompt_tokens"].sum()),
        "response_tokens": float(curated["response_tokens"].sum()),
        "mean_agreement": done["agreement"].mean(),
        "agreement_kept": kept["agreement"].mean() if curated.height > attempts else None,
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
    Between two values of n, up to 256 rows are measured, evenly spread: all of a corpus of some 10,000 rows, a sample of
    a larger one. Comparing each row with all before it would take the square of their number.
    """
    import numpy as np
    import polars as pl

    schema = {"rows": int, "novelty": float}
    done = curated.filter(pl.col("response_end") == "completed")
    if done.height == 0:
        return pl.DataFrame(schema=schema)
    order = np.random.default_rng(seed).permutation(done.height)
    to_seed = done["seed_similarity"].to_numpy()[order]
    sizes = np.unique(np.linspace(1, len(order), min(CURVE_POINTS, len(order))).round().astype(int))
    means, total = [], 0.0
    for begin, end in itertools.pairwise([0, *sizes]):
        places = np.unique(np.linspace(begin, end - 1, min(end - begin, SAMPLED)).round().astype(int))
        nearest = np.maximum(_nearest_before(embeddings, order, places), to_seed[places])
        total += (1 - nearest.clip(max=1)).mean() * (end - begin)
        means.append(total / end)
    return pl.DataFrame({"rows": sizes.astype(np.int64), "novelty": means}, schema=schema)


def _nearest_before(embeddings: "np.ndarray", order: "np.ndarray", places: "np.ndarray") -> "np.ndarray":
    """Highest cosine similarity of the row at each place of an order to the rows before it; -1 where there is none."""
    import numpy as np

    rows, best = embeddings[order[places]], np.full(len(places), -1.0)
    for start in range(0, int(places[-1]), BLOCK):
        stop = min(start + BLOCK, int(places[-1]))
        similarity = rows @ embeddings[order[start:stop]].T
        similarity[np.arange(start, stop)[None] >= places[:, None]] = -1
        best = np.maximum(best, similarity.max(1))
    return best
