"""Synthesis: the teacher writes prompts from the bare user turn, then they are answered.

Phase 1 samples prompts from nothing but the header of a user turn, or from seed examples before it (`context`). A prompt
ends properly when the model itself writes the end-of-turn token. Phase 2 writes responses to the prompts that did. Every
attempt is a row of the corpus, with how it ended:

    completed   the model closed the turn
    length      it was still writing at max_new_tokens
    empty       it closed the turn without writing anything
    malformed   it wrote a special token inside the turn, or bytes that are not text

Attempts run in shards. A shard is written whole, so a step that died goes on with the next one.
"""

import functools
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Synthesis
from nomad_assets.recipe.generation.engine import Engine, Generation, Request
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed

if TYPE_CHECKING:
    import polars as pl

SMALLEST_SHARD = 64
LOWEST_RATE = 0.05
NOT_ATTEMPTED = "not_attempted"
FINAL_ANSWER = re.compile(r"####\s*(-?[\d.,]+)")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")


def final_answer(response: str) -> str:
    """What a response comes down to: the number after the first `####`, else the whole text folded to lower case.

    "3 + 4 = 7\\n#### 7" -> "7"; "The  Nile" -> "the nile".
    """
    match = FINAL_ANSWER.search(response)
    return match.group(1).replace(",", "").rstrip(".") if match else " ".join(response.lower().split())


def ending(generation: Generation, turns: Turns) -> tuple[str, str]:
    """How a turn ended, and its text."""
    text = turns.decode(generation.ids)
    if not generation.stopped:
        return "length", text
    if any(token in turns.specials for token in generation.ids) or CONTROL.search(text):
        return "malformed", text
    return ("completed" if text.strip() else "empty"), text.strip()


def write_shard(
    first_attempt: int,
    attempts: int,
    settings: Synthesis,
    writer: Engine,
    answerer: Callable[[], tuple[Engine, Turns]],
    turns: Turns,
    seed_of: Callable[[str, int], int],
    cell: str,
    tell: Callable[[float], None] = lambda share: None,
    context: Callable[[int], list[int]] | None = None,
) -> "pl.DataFrame":
    """Attempts `first_attempt` to `first_attempt + attempts - 1` as rows of the SyntheticCorpus schema.

    `answerer` opens the engine that answers, with its own turns; it is called only when there is a prompt to answer.
    `context(attempt)` is what the writer is given, the bare header where there is none. `seed_of(phase, number)` gives each generation its own seed. `tell` gets the share of the shard that is done.
    """
    import polars as pl

    numbers = range(first_attempt, first_attempt + attempts)
    requests = [Request(context(number) if context else turns.header, seed_of("prompt", number)) for number in numbers]
    prompts = writer.generate(requests, settings.prompt, {turns.prompt_end}, lambda n: tell(n / attempts / 2))
    rows: list[dict] = []
    pending: list[dict] = []
    for number, request, generation in zip(numbers, requests, prompts, strict=True):
        end, text = ending(generation, turns)
        row = {
            "attempt": number, "prompt_seed": request.seed, "prompt": text, "prompt_end": end,
            "prompt_tokens": len(generation.ids) + generation.stopped,
        }  # fmt: skip
        if end != "completed":
            rows.append(_row(cell, row, 0))
            continue
        pending.extend({**row, "response_index": k} for k in range(settings.responses_per_prompt))
    if pending:
        rows.extend(_answer(pending, settings, answerer, seed_of, cell, lambda n: tell(0.5 + n / len(pending) / 2)))
    return pl.DataFrame(sorted(rows, key=lambda r: (r["attempt"], r["response_index"])), schema=COLUMNS)


def _answer(pending: list[dict], settings: Synthesis, answerer, seed_of, cell: str, on_progress) -> list[dict]:
    """Phase 2 for the given prompts; agreement is the share of all its responses; one that did not complete agrees with none."""
    engine, turns = answerer()
    count = settings.responses_per_prompt
    requests = [
        Request(
            turns.response_context(turns.encode(row["prompt"])),
            seed_of("response", row["attempt"] * count + row["response_index"]),
        )
        for row in pending
    ]
    rows = []
    generations = engine.generate(requests, settings.response, {turns.response_end}, on_progress)
    for row, request, generation in zip(pending, requests, generations, strict=True):
        end, text = ending(generation, turns)
        facts = {
            "response_seed": request.seed, "response": text, "response_end": end,
            "response_tokens": len(generation.ids) + generation.stopped,
            "final_answer": final_answer(text) if end == "completed" else None,
        }  # fmt: skip
        rows.append(_row(cell, {**row, **facts}, row["response_index"]))
    # The responses to one prompt stand next to each other.
    for start in range(0, len(rows), count):
        group = rows[start : start + count]
        answers = Counter(row["final_answer"] for row in group if row["final_answer"] is not None)
        if not answers:
            continue
        top, votes = answers.most_common(1)[0]
        for row in group:
            row["agreement"], row["majority_answer"] = votes / len(group), row["final_answer"] == top
    return rows


COLUMNS = {
    "id": str, "attempt": int, "response_index": int, "prompt_end": str, "response_end": str, "prompt": str,
    "response": str, "final_answer": str, "agreement": float, "majority_answer": bool, "prompt_tokens": int,
    "response_tokens": int, "prompt_seed": int, "response_seed": int,
}  # fmt: skip


def _row(cell: str, facts: dict, response_index: int) -> dict:
    defaults = {name: None for name in COLUMNS} | {"response_end": NOT_ATTEMPTED, "response_tokens": 0}
    row_id = f"{cell}/{facts['attempt']:06d}-{response_index}"
    return {**defaults, **facts, "id": row_id, "response_index": response_index}


def completed(corpus: "pl.DataFrame") -> "pl.DataFrame":
    """Rows whose prompt and response both ended properly."""
    import polars as pl

    return corpus.filter(pl.col("response_end") == "completed")


def _next_shard(settings: Synthesis, attempts: int, done: int) -> int:
    """Attempts of the next shard: what the completion rate so far says is missing, and not too few to be worth a batch."""
    rate = done / attempts if attempts else settings.responses_per_prompt
    missing = math.ceil((settings.target - done) / max(rate, LOWEST_RATE))
    return min(settings.shard_size, max(missing, SMALLEST_SHARD))


def synthesize(
    settings: Synthesis,
    writer: Engine,
    answerer: Callable[[], tuple[Engine, Turns]],
    turns: Turns,
    *,
    context: Callable[[int], list[int]] | None = None,
    seed_parts: tuple,
    cell: str,
    scratch: Path,
    progress: Progress = silent,
) -> "pl.DataFrame":
    """Shards until `settings.target` rows are completed or `settings.max_attempts` are spent.

    Whole shards found in `scratch` are taken as they are. Ends early, with what there is, only at the attempt budget:
    a teacher that fails most attempts is a result, not an error.
    """
    import polars as pl

    def seed_of(phase: str, number: int) -> int:
        return derive_seed(*seed_parts, phase, number)

    scratch.mkdir(parents=True, exist_ok=True)
    shards: list[pl.DataFrame] = []
    attempts = done = tokens = 0
    seconds = 0.0

    def report(running: int, share: float) -> None:
        # Whichever bound is nearer says how far the work is. What a shard completes is known at its end, and told from then on.
        near = max(done / settings.target, (attempts + share * running) / settings.max_attempts)
        facts: dict[str, float] = {"attempts": attempts, "completed": done} if attempts else {}
        if seconds:
            facts["tokens_per_second"] = tokens / seconds
        progress("synthesis", min(near, 1.0) * settings.target, settings.target, facts)

    while done < settings.target and attempts < settings.max_attempts:
        count = min(_next_shard(settings, attempts, done), settings.max_attempts - attempts)
        path = scratch / f"shard-{len(shards):06d}.parquet"
        if not path.is_file():
            tell, begun = functools.partial(report, count), time.monotonic()
            shard = write_shard(attempts, count, settings, writer, answerer, turns, seed_of, cell, tell, context)
            seconds += time.monotonic() - begun
            first = pl.col("response_index") == 0  # a prompt stands in the row of each of its responses
            tokens += shard.filter(first)["prompt_tokens"].sum() + shard["response_tokens"].sum()
            partial = path.with_suffix(".partial")
            shard.write_parquet(partial)
            partial.rename(path)
        shards.append(pl.read_parquet(path))
        attempts += count
        done += completed(shards[-1]).height
        report(0, 0.0)
    return pl.concat(shards)
