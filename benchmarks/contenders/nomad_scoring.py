"""Times this project's scoring: `recipe.evaluate.evaluate` on local questions, as `student_scores` calls it.

The tasks, requests and metrics are lm-evaluation-harness', the decoding is the project's. `seconds` is the harness' run
over the questions; `seconds_all` holds imports and model loading, and two things that the harness' command line does
not do: the log-probability of every reference answer (`seconds_log_probabilities`) and the bootstrap.
There is one variant.
"""

import importlib.metadata
import json
import sys
import time
from pathlib import Path

import psutil

import nomad_assets  # noqa: F401  before torch is imported, as in a user's own program


def timed(module, name: str, times: dict) -> None:
    """Replace a function of a module by itself with a clock around it."""
    original = getattr(module, name)

    def clock(*args, **kwargs):
        begun = time.perf_counter()
        outcome = original(*args, **kwargs)
        times[name] = times.get(name, 0.0) + time.perf_counter() - begun
        return outcome

    setattr(module, name, clock)


def main() -> None:
    import torch

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    import lm_eval.evaluator
    import polars as pl

    from nomad_assets.profile.sections import Benchmark, Source
    from nomad_assets.recipe.evaluation import evaluate
    from nomad_assets.recipe.models.loading import quiet

    quiet()
    times: dict[str, float] = {}
    timed(lm_eval.evaluator, "evaluate", times)
    timed(evaluate, "response_log_probabilities", times)
    with open(job["questions"], encoding="utf-8") as file:
        rows = [{**json.loads(line), "benchmark": "local"} for line in file if line.strip()]
    schema = {"id": str, "benchmark": str, "question": str, "answers": pl.List(pl.String), "reference": str}
    questions = pl.DataFrame([{key: row[key] for key in schema} for row in rows], schema=schema)
    benchmark = Benchmark(source=Source(path=job["questions"]), rule=job["rule"], max_new_tokens=job["max_new_tokens"])
    outcome = evaluate.evaluate(
        Path(job["model"]),
        {"local": benchmark},
        questions,
        batch_size=job["batch_size"],
        resamples=10_000,
        seed=0,
        precision={"float32": "fp32", "bfloat16": "bf16"}[job["dtype"]],
    )
    result = {
        "seconds_all": time.time() - psutil.Process().create_time(),
        "seconds": times["evaluate"],
        "seconds_log_probabilities": times["response_log_probabilities"],
        "questions": len(rows),
        "generated_tokens": outcome.generated_tokens,
        "scores": dict(outcome.scores.select("metric", "mean").iter_rows()),
        "versions": {p: importlib.metadata.version(p) for p in ("nomad-assets", "lm-eval", "transformers", "torch")},
    }
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
