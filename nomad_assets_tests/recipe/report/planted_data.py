"""Report data with planted differences, and texts that try to break out of a page."""

import numpy as np
import polars as pl

from nomad_assets.recipe.evaluation.statistics import bootstrap_interval
from nomad_assets.recipe.report.header import STEPS
from nomad_assets.recipe.report.report_data import ReportData

NASTY = "<script>alert('x')</script> a | b ``` ~~~ \x1b[31m\u202e\n| c | d |\n# not a heading <img src=x onerror=y>"
RESULT_SCHEMA = {
    "kind": pl.String, "train_size": pl.Int64, "replicate": pl.Int64, "arm": pl.String, "prompt_loss": pl.Float64,
    "benchmark": pl.String, "question_id": pl.String, "metric": pl.String, "value": pl.Float64, "cluster": pl.String,
    "split": pl.String,
}  # fmt: skip
MODEL = ["kind", "train_size", "replicate", "arm", "prompt_loss"]


def models(sizes, weights, replicates, control=True):
    """(kind, train_size, replicate, arm, prompt_loss) of every model of a grid."""
    yield ("base", None, None, None, None)
    for replicate in range(replicates):
        for size in sizes:
            if control:
                yield ("control", size, replicate, None, None)
            for name, weight in weights.items():
                yield ("student", size, replicate, name, weight)


def make_results(grid, benchmarks, right, questions=80, seed=5):
    """Per-question results; `right(model)` is the chance of a right answer. Questions differ in difficulty."""
    generator = np.random.default_rng(seed)
    rows = []
    for benchmark, rule in benchmarks.items():
        difficulty = generator.uniform(size=questions)
        for model in grid:
            hit = (difficulty + generator.normal(0, 0.05, questions) < right(model)).astype(float)
            metrics = {"exact_match": hit, "answer_logprob": right(model) - 3 * difficulty - 0.3}
            if rule == "gsm8k":
                metrics |= {"lm_eval_strict": hit, "lm_eval_flexible": np.maximum(hit, difficulty < 0.05)}
            else:
                metrics |= {"f1": np.clip(hit + 0.2, 0, 1), "lm_eval_exact_match": hit}
            for metric, values in metrics.items():
                rows += [
                    (*model, benchmark, f"q{i}", metric, float(v), f"q{i}", "dev" if i % 4 == 3 else "test")
                    for i, v in enumerate(values)
                ]
    return pl.DataFrame(rows, schema=RESULT_SCHEMA, orient="row")


def make_scores(results):
    rows = []
    for key, group in results.filter(split="test").group_by([*MODEL, "benchmark", "metric"], maintain_order=True):
        interval = bootstrap_interval(group["value"].to_numpy(), resamples=200, seed=0)
        rows.append((*key, interval.n, interval.mean, interval.low, interval.high))
    schema = {k: v for k, v in RESULT_SCHEMA.items() if k not in ("question_id", "value", "cluster", "split")}
    schema |= {"n": pl.Int64, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_corpora(grid, kept):
    rows = []
    for kind, size, replicate, arm, weight in grid:
        if kind != "student":
            continue
        n = kept(size, arm)
        rows.append(
            {
                "train_size": size,
                "replicate": replicate,
                "arm": arm,
                "prompt_loss": weight,
                "attempts": 400,
                "prompts_completed": 120 + int(240 * weight),
                "completed": 100 + int(220 * weight),
                "kept": n,
                "keep_target": 96,
                "kept_without_error": min(n, int(n * (0.25 + 0.5 * weight)) + replicate),
                "agreement_kept": None,
                "relevance_all": 0.41 + 0.1 * weight,
                "relevance_sd": 0.1,
                "relevance_kept": 0.45 + 0.11 * weight if n else None,
                "novelty_all": 0.62 - size / 800,
                "novelty_kept": 0.57 - size / 900 + 0.03 * weight if n else None,
                "distinct_prompts": 0.8 + 0.15 * weight,
                "prompt_tokens": 21_000,
                "response_tokens": 34_000,
                "teacher_seconds": 44.0 + size,
                "synthesis_seconds": 310.0,
                "curation_seconds": 12.5,
                "student_seconds": 130.0,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def make_rows(grid):
    generator = np.random.default_rng(3)
    seed_prompt = "A baker fills 4 trays with 12 rolls each. How many rolls are there?"
    rows = []
    for kind, size, replicate, arm, weight in grid:
        if kind != "student":
            continue
        for i in range(40):
            verdict = "kept" if i % 2 else "dropped"
            prompt = f"Mara packs {i + 2} boxes with {i + 5} pears each. How many pears does she pack in all? [{arm}]"
            rows.append(
                {
                    "train_size": size,
                    "replicate": replicate,
                    "arm": arm,
                    "id": f"{size}-{replicate}-{arm}-{i:03d}",
                    "verdict": verdict,
                    "reason": "kept" if verdict == "kept" else ["near repeat", "outside the band"][i // 2 % 2],
                    "prompt": None if i == 4 else prompt,
                    "response": None if i == 4 else f"{i + 2} * {i + 5}\n#### {(i + 2) * (i + 5)}",
                    "relevance": None if i == 4 else float(generator.normal(0.45 + 0.1 * weight, 0.08)),
                    "novelty": None if i == 4 else float(generator.normal(0.5, 0.1)),
                    "nearest_seed_prompt": None if i == 4 else seed_prompt,
                    "nearest_seed_response": None if i == 4 else "4 * 12 = 48\n#### 48",
                    "sign_of_error": "unused_number (7)" if i == 5 else None,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def make_seeds(sizes):
    points = [(s, 0, f"seed{i}", 0.5 + i / 200, 0.3 + i / 100, f"Seed prompt {i}") for s in sizes for i in range(s)]
    return pl.DataFrame(
        points, schema=["train_size", "replicate", "id", "relevance", "novelty", "prompt"], orient="row"
    )


def make_steps(cells):
    """Four steps a cell, on one machine; the last of them knows its device."""
    rows = [(600.0, 1_795_815_600.0 + n, "x86_64", 8, None if n % 4 else "NVIDIA H100") for n in range(4 * cells)]
    return pl.DataFrame(rows, schema=STEPS, orient="row")


def make_data(
    sizes=(16, 64), weights=None, replicates=1, benchmarks=None, right=None, kept=lambda size, arm: 96, control=True,
    questions=80,
) -> ReportData:  # fmt: skip
    """ReportData of a whole grid. `right` plants each model's chance of a right answer."""
    weights = weights or {"masked": 0.0, "unmasked": 1.0}
    benchmarks = benchmarks or {"trivia": "triviaqa", "sums": "gsm8k"}
    right = right or (lambda model: {"base": 0.15, "control": 0.25}.get(model[0]) or 0.3 + 0.2 * model[4])
    grid = list(models(sizes, weights, replicates, control))
    results = make_results(grid, benchmarks, right, questions)
    corpora = make_corpora(grid, kept)
    cells = corpora.select("train_size", "replicate", "arm", "kept").rows()
    reasons = [
        (*cell, *dropped)
        for *cell, n in cells
        for dropped in (("kept", n), ("near repeat", 30), ("outside the band", 60))
    ]
    curve = [(*cell, n, 0.6 - n / 900 - cell[0] / 1000) for *cell, _ in cells for n in (16, 32, 64, 96)]
    return ReportData(
        profile_name="quickstart",
        settings={
            "base model": "smollm2-135m", "seed examples": 300, "benchmarks": benchmarks, "keep target": 96,
            "engine": "transformers", "bootstrap_resamples": 400, "seed": 7,
        },
        scores=make_scores(results),
        results=results,
        corpora=corpora,
        reasons=pl.DataFrame(reasons, schema=["train_size", "replicate", "arm", "reason", "rows"], orient="row"),
        rows=make_rows(grid),
        seeds=make_seeds(sizes),
        novelty_curve=pl.DataFrame(curve, schema=["train_size", "replicate", "arm", "rows", "novelty"], orient="row"),
        missing=["256/masked"],
        steps=make_steps(len(cells)),
        made_with="1.2.3",
        margin=0.03,
    )  # fmt: skip
