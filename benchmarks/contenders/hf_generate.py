"""Contender: a plain loop over `model.generate` of transformers.

Timed: N prompts sampled from the bare user header in batches, then one response to every prompt that the model ended.
Batches are taken in order and left-padded, as in transformers' guide to text generation with decoder-only models; a
batch runs until its last row has ended. Lengths, temperature, top_p, batch size, dtype and seed come from the job;
top_k is switched off, since transformers' own default of 50 would sample from another distribution.

python benchmarks/contenders/hf_generate.py JOB.json RESULT.json
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil

HEADER, END = "<|im_start|>user\n", "<|im_end|>"


def turn(model, end: int, job: dict, inputs, max_new_tokens: int) -> list[list[int]]:
    """New token ids per row, with the closing token where there is one and without the padding behind it."""
    output = model.generate(
        **inputs, do_sample=True, temperature=job["temperature"], top_p=job["top_p"], top_k=0,
        max_new_tokens=max_new_tokens, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    rows = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [ids[: ids.index(end) + 1] if end in ids else ids for ids in rows]


def main(job: dict) -> dict:
    born = psutil.Process().create_time()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"])).eval()
    end = tokenizer.convert_tokens_to_ids(END)
    started = time.time()

    prompts: list[list[int]] = []
    for first in range(0, job["rows"], job["batch_size"]):
        count = min(job["batch_size"], job["rows"] - first)
        inputs = tokenizer([HEADER] * count, return_tensors="pt", add_special_tokens=False)
        prompts += turn(model, end, job, inputs, job["prompt_tokens"])
    texts = [tokenizer.decode(ids[:-1]) for ids in prompts if ids[-1] == end]
    kept = [ids for ids in prompts if ids[-1] == end]
    pending = [(ids, text) for ids, text in zip(kept, texts, strict=True) if text.strip()]

    responses: list[list[int]] = []
    for first in range(0, len(pending), job["batch_size"]):
        chats = [[{"role": "user", "content": text}] for _, text in pending[first : first + job["batch_size"]]]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        responses += turn(model, end, job, inputs, job["response_tokens"])
    rows = [
        (ids, text, response, tokenizer.decode(response, skip_special_tokens=True))
        for (ids, text), response in zip(pending, responses, strict=True)
    ]
    done = time.time()

    completed = [row for row in rows if row[2][-1] == end and row[3].strip()]
    return {
        "seconds_all": done - born,
        "seconds": done - started,
        "start_seconds": started - born,
        "attempts": len(prompts),
        "completed_rows": len(completed),
        "completed_tokens": sum(len(row[0]) + len(row[2]) for row in completed),
        "generated_tokens": sum(map(len, prompts)) + sum(map(len, responses)),
        "versions": {name: version(name) for name in ("transformers", "torch")},
        "dtype": job["dtype"],
    }


if __name__ == "__main__":
    result = main(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1))
