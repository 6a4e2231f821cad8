"""What all training contenders share: the rows, the clock around the training loop, and the loss afterwards.

The clock wraps `transformers.Trainer.train`, which every contender calls in the end, so all of them are timed over the
same span: the training loop without imports, model loading and tokenisation. The loss afterwards is taken from the
folder that the contender saved, in fp32 without autocast, so no contender is measured with its own code.
"""

import importlib.metadata
import json
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil


def read_job() -> dict:
    import torch

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    return job


def tokenizer_of(folder: str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def messages(row: dict) -> tuple[list[dict], list[dict]]:
    """A row as chat messages: the prompt's and the response's."""
    return [{"role": "user", "content": row["prompt"]}], [{"role": "assistant", "content": row["response"]}]


def chat_ids(tokenizer, row: dict) -> tuple[list[int], int]:
    """Token ids of a row's whole chat, and how many of them come before the response."""
    prompt, response = messages(row)
    head = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(prompt + response, tokenize=False)
    head_ids = tokenizer(head, add_special_tokens=False)["input_ids"]
    return head_ids + tokenizer(text[len(head) :], add_special_tokens=False)["input_ids"], len(head_ids)


def read_rows(job: dict, tokenizer) -> list[dict]:
    """Rows that fit in `max_length`; a longer one is left out for every contender alike, so that none cuts it."""
    with open(job["rows"], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [row for row in rows if len(chat_ids(tokenizer, row)[0]) <= job["max_length"]]


@contextmanager
def watched_training():
    """Time `Trainer.train` and keep what it logged: `seconds`, `losses` of each step, `steps`."""
    from transformers import Trainer

    watched, original = {}, Trainer.train

    def train(self, *args, **kwargs):
        begun = time.perf_counter()
        outcome = original(self, *args, **kwargs)
        watched["seconds"] = time.perf_counter() - begun
        watched["losses"] = [entry["loss"] for entry in self.state.log_history if "loss" in entry]
        watched["steps"] = self.state.global_step
        return outcome

    Trainer.train = train
    try:
        yield watched
    finally:
        Trainer.train = original


def response_loss(folder: str, rows: list[dict], tokenizer) -> float:
    """Mean cross-entropy in nats over the response tokens (content and its end-of-turn token) of the first 16 rows."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    end_of_turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    total, count = 0.0, 0
    for start in range(0, min(len(rows), 16), 4):
        encoded = [chat_ids(tokenizer, row) for row in rows[start : start + 4]]
        longest = max(len(ids) for ids, _ in encoded)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in encoded])
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in encoded])
        targets = torch.full_like(ids, -100)
        for line, (row_ids, head) in enumerate(encoded):
            last = len(row_ids) - 1 - row_ids[::-1].index(end_of_turn)
            targets[line, head : last + 1] = ids[line, head : last + 1]
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        total += torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets[:, 1:].flatten(), reduction="sum"
        ).item()
        count += (targets[:, 1:] != -100).sum().item()
    return total / count


def report(job: dict, watched: dict, rows: list[dict], folder: str, packages: list[str]) -> None:
    """Write RESULT.json; `folder` holds the trained model."""
    # before the judging, which is no contender's work
    seconds_all = time.time() - psutil.Process().create_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    tokenizer = tokenizer_of(job["model"])
    result = {
        "seconds": watched["seconds"],
        "seconds_all": seconds_all,
        "peak_mib": peak,
        "real_tokens": job["epochs"] * sum(len(chat_ids(tokenizer, row)[0]) for row in rows),
        "rows": len(rows),
        "steps": watched["steps"],
        "losses": watched["losses"],
        "final_eval_loss": response_loss(folder, rows, tokenizer) if job.get("judge", True) else None,
        "precision": job["precision"],
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1), encoding="utf-8")
