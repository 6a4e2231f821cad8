"""A guard on speed: this project's training step and curation pass against plain ones, in this process, as ratios.

The plain ones do the same work the way it is usually written: a padded batch with all its logits; every row looked up by
itself in an index of all word 3-grams. Floors are well below what was measured (benchmarks/README.md), since other work
may run beside a test; falling below one means that something got lost.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import polars as pl
import pytest
import torch

from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.contamination import SHINGLE, ContaminationIndex, folded
from nomad_assets.recipe.curation.curate import KEPT, rule_verdicts
from nomad_assets.recipe.kernels.exchange import exchange_layers
from nomad_assets.recipe.memory import keep_freed_memory
from nomad_assets.recipe.models.loading import load_model, load_tokenizer
from nomad_assets.recipe.models.turns import Turns, training_rows
from nomad_assets.recipe.training.packing import attend_within_rows, pack
from nomad_assets.recipe.training.trainer import resolve_precision, weighted_loss

DATA = Path(__file__).parents[1] / "data"
TRAINING_FLOOR, CURATION_FLOOR = 1.15, 3.0


def ratio(ours: Callable[[], object], plain: Callable[[], object], rounds: int) -> float:
    """How many times as long the plain one takes, in processor time: the median over rounds that follow a warm-up."""

    def seconds(work: Callable[[], object]) -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    found = [seconds(plain) / seconds(ours) for _ in range(rounds + 1)]
    return median(found[1:])


def shipped(name: str, count: int) -> list[tuple[str, str, str]]:
    lines = (DATA / "seed" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    return [(row["id"], row["question"], row.get("answer") or row["answers"][0]) for row in rows]


@pytest.mark.system
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_training_step_is_faster_than_a_padded_one_with_all_its_logits(smollm2_model: Path, weight: float) -> None:
    turns = Turns(load_tokenizer(smollm2_model), "test")
    # Long and short rows in one batch, as real data has them.
    rows, _ = training_rows(turns, shipped("word_problems", 5) + shipped("trivia", 3), weight, 512)
    plain_model, our_model = (load_model(smollm2_model, torch.float32).train() for _ in range(2))
    keep_freed_memory()
    assert attend_within_rows(our_model) and exchange_layers(our_model)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=resolve_precision("auto") == "bf16")
    losses: dict[str, float] = {}

    def ours() -> None:
        batch = pack(rows)
        with autocast:
            loss = weighted_loss(our_model, batch, batch["weights"].sum())
        loss.backward()
        losses["ours"] = loss.item()
        our_model.zero_grad()

    def plain() -> None:
        longest = max(len(row.input_ids) for row in rows)
        ids = torch.tensor([row.input_ids + [0] * (longest - len(row.input_ids)) for row in rows])
        weights = torch.tensor([row.loss_weights + [0.0] * (longest - len(row.input_ids)) for row in rows])
        mask = torch.tensor([[1] * len(row.input_ids) + [0] * (longest - len(row.input_ids)) for row in rows])
        with autocast:
            logits = plain_model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        each = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        loss = (each * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
        loss.backward()
        losses["plain"] = loss.item()
        plain_model.zero_grad()

    found = ratio(ours, plain, rounds=4)
    print(f"training step, prompt loss weight {weight}: {found:.2f} times as fast as the plain one")
    assert losses["ours"] == pytest.approx(losses["plain"], rel=1e-2), "the same loss"
    assert found >= TRAINING_FLOOR


def test_curation_is_faster_than_a_row_at_a_time() -> None:
    seeds = shipped("word_problems", 200)
    prompts = [prompt for _, prompt, _ in shipped("word_problems", 2400)[200:] + shipped("trivia", 2000)]
    ids = [f"8/unmasked/{number:06d}-0" for number in range(len(prompts))]
    corpus = pl.DataFrame(
        {"id": ids, "prompt": prompts, "response": "x", "prompt_end": "completed", "response_end": "completed",
         "final_answer": "x", "agreement": 1.0, "majority_answer": True}
    )  # fmt: skip
    lines = (DATA / "benchmark" / "word_problems.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [(row["id"], row["question"], [row["answer"]]) for row in map(json.loads, lines)]
    table = pl.DataFrame([(row_id, prompt) for row_id, prompt, _ in seeds], schema=["id", "prompt"], orient="row")
    settings = Curation(keep=10)
    kept: dict[str, list[bool]] = {}

    def ours() -> None:
        kept["ours"] = [v.reason == KEPT for v in rule_verdicts(corpus, table, questions, settings)]

    def plain() -> None:
        index, own = ContaminationIndex(questions), Plain(settings.seed_copy)
        earlier = Plain(settings.near_repeat)
        for _, prompt, _ in seeds:
            own.add(prompt)
        kept["plain"] = []
        for prompt in prompts:
            fresh = not earlier.has_twin(prompt)
            if fresh:
                earlier.add(prompt)
            kept["plain"].append(fresh and not own.has_twin(prompt) and index.find(prompt, "x") is None)

    found = ratio(ours, plain, rounds=3)
    print(f"curation: {found:.2f} times as fast as a row at a time")
    assert kept["ours"] == kept["plain"] and 0 < sum(kept["ours"]) < len(prompts), "the same verdicts"
    assert found >= CURATION_FLOOR


class Plain:
    """Texts whose word 3-grams are all looked up, and every text found is compared."""

    def __init__(self, threshold: float):
        self.threshold, self.sets, self.holding = threshold, [], defaultdict(list)

    def grams(self, text: str) -> set[tuple[str, ...]]:
        words = folded(text)
        return {words[i : i + SHINGLE] for i in range(max(1, len(words) - SHINGLE + 1))}

    def add(self, text: str) -> None:
        grams = self.grams(text)
        for gram in grams:
            self.holding[gram].append(len(self.sets))
        self.sets.append(grams)

    def has_twin(self, text: str) -> bool:
        grams = self.grams(text)
        others = {other for gram in grams for other in self.holding.get(gram, ())}
        return any(len(grams & self.sets[o]) / len(grams | self.sets[o]) >= self.threshold for o in others)
