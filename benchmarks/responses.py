"""What several responses a prompt cost, with and without stopping when the verdict is settled, and with one prefill or several.

python benchmarks/responses.py [--teacher trivia] [--prompts 64] [--responses 8] [--share 0.75] [--rounds 3] [--precision fp32]

A teacher of `harness.py` writes PROMPTS prompts once, then the same prompts are answered in each of four
ways in turn, with the same seeds. A row is verified where at least SHARE of the responses to its prompt agree and no rule objects
that needs no embeddings: at most one a prompt, and the same prompts in all four. Timed is the answering alone. Writes
`results/responses-TEACHER-PROMPTS-RESPONSES-SHARE.json`.
"""

import argparse
import json
import time
from statistics import median

import polars as pl
from harness import RESULTS, THREADS, machine, teacher

LONGEST = {"trivia": (32, 16), "word_problems": (96, 64)}  # tokens of a prompt and of a response
SEED = 20
BEFORE = "all responses, a prefill for each"
WAYS = {
    BEFORE: (False, "each"),
    "all responses, one prefill": (False, "once"),
    "until settled, a prefill a round": (True, "rounds"),
    "until settled, one prefill": (True, "once"),
}


class Said:
    """An engine that says again what another one wrote."""

    def __init__(self, written: list):
        self.written = written

    def generate(self, *_, **__) -> list:
        return self.written


class Rounds:
    """An engine without a way of its own to sample several continuations of a context."""

    def __init__(self, engine):
        self.generate = engine.generate


def answered(engine, turns, written: list, options, settled: bool, prefill: str) -> tuple[pl.DataFrame, float]:
    """(the corpus, the seconds of answering)."""
    from nomad_assets.profile.sections import Sampling, Synthesis
    from nomad_assets.recipe.generation.decoded_batch import Batch
    from nomad_assets.recipe.generation.synthesis import write_shard
    from nomad_assets.recipe.seeding import derive_seed

    settings = Synthesis(
        target=1, max_attempts=len(written), responses_per_prompt=options.responses,
        stop_at_agreement=options.share if settled else None,
        response=Sampling(max_new_tokens=LONGEST[options.teacher][1], temperature=0.7),
    )  # fmt: skip
    one_prefill = Batch._prefill_once
    if prefill == "each":
        Batch._prefill_once = Batch._prefill
    answerer = Rounds(engine) if prefill == "rounds" else engine
    begun = time.monotonic()
    try:
        corpus = write_shard(
            0, len(written), settings, Said(written), lambda: (answerer, turns), turns,
            lambda phase, number: derive_seed(SEED, phase, number), "benchmark",
        )  # fmt: skip
    finally:
        Batch._prefill_once = one_prefill
    return corpus, time.monotonic() - begun


def measured(corpus: pl.DataFrame, seconds: float, options) -> dict:
    from nomad_assets.profile.sections import Curation
    from nomad_assets.recipe.curation.curate import KEPT, rule_verdicts
    from nomad_assets.recipe.generation.synthesis import responses_saved

    settings = Curation(keep=corpus.height, min_agreement=options.share)
    seeds = pl.DataFrame(schema={"id": str, "prompt": str})
    kept = sum(verdict.reason == KEPT for verdict in rule_verdicts(corpus, seeds, [], settings))
    prompts = corpus.unique("attempt", keep="first")
    return {
        "seconds": seconds, "prompts": prompts.height, "prompts_ended": prompts.filter(prompt_end="completed").height,
        "responses": corpus.filter(prompt_end="completed").height, "verified_rows": kept,
        "responses_saved": responses_saved(corpus, options.responses),
        "tokens": int(prompts["prompt_tokens"].sum() + corpus["response_tokens"].sum()),
    }  # fmt: skip


def table(runs: list[dict]) -> str:
    lines = [
        "| answered | seconds a verified row | times as fast as before | tokens written a verified row | responses | saved | verified rows |",
        "|---|---|---|---|---|---|---|",
    ]
    before = {run["round"]: run["seconds"] for run in runs if run["way"] == BEFORE}
    for way in WAYS:
        mine = [run for run in runs if run["way"] == way]
        each = [run["seconds"] / run["verified_rows"] for run in mine]
        ratios = [before[run["round"]] / run["seconds"] for run in mine]
        last = mine[-1]
        cells = [
            way, _range(each), "" if way == BEFORE else _range(ratios), f"{last['tokens'] / last['verified_rows']:.0f}",
            *(str(last[key]) for key in ("responses", "responses_saved", "verified_rows")),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", choices=list(LONGEST), default="trivia")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.75)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32")
    options = parser.parse_args()
    import torch

    from nomad_assets.profile.sections import Sampling
    from nomad_assets.recipe.generation.engine import Request, open_engine
    from nomad_assets.recipe.models.loading import load_tokenizer, quiet
    from nomad_assets.recipe.models.turns import Turns
    from nomad_assets.recipe.seeding import derive_seed

    torch.set_num_threads(THREADS)
    quiet()
    folder = teacher(options.teacher)
    turns = Turns(load_tokenizer(folder), "teacher")
    engine = open_engine(
        "transformers", folder, batch_size=128, pad_id=turns.pad, max_length=512, precision=options.precision
    )
    asked = [Request(turns.header, derive_seed(SEED, "prompt", number)) for number in range(options.prompts)]
    written = engine.generate(asked, Sampling(max_new_tokens=LONGEST[options.teacher][0]), {turns.prompt_end})
    record = {"machine": machine(), "job": vars(options), "runs": []}
    path = RESULTS / f"responses-{options.teacher}-{options.prompts}-{options.responses}-{options.share:g}.json"
    for turn in range(1, options.rounds + 1):
        for way in list(WAYS) if turn % 2 else reversed(list(WAYS)):
            corpus, seconds = answered(engine, turns, written, options, *WAYS[way])
            record["runs"].append({"round": turn, "way": way, **measured(corpus, seconds, options)})
            print(record["runs"][-1], flush=True)
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record["runs"]))


if __name__ == "__main__":
    main()
