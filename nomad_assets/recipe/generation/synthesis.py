"""Synthesis: the teacher writes prompts from the bare user turn, then they are answered.

Phase 1 samples prompts from nothing but the header of a user turn, or from seed examples before it (`context`). A prompt
ends properly when the model itself writes the end-of-turn token. Phase 2 writes responses to the prompts that did: all of
`responses_per_prompt`, or as many as it takes to settle the verdict on them (settling.py), or until one is right. A prompt
that did not end is answered by nobody. Every attempt is a row of the corpus, with how it ended:

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Synthesis
from nomad_assets.recipe.generation.engine import Engine, Generation, Request
from nomad_assets.recipe.generation.series import Series, sample
from nomad_assets.recipe.generation.settling import fewest_more, majority
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
    is_right: Callable[[dict], bool | None] | None = None,
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
        if end == "completed":
            pending.append(row)
        else:
            rows.append(_row(cell, row, 0))
    if pending:
        answered = lambda n: tell(0.5 + n / len(pending) / 2)  # noqa: E731
        rows.extend(_answer(pending, settings, answerer, seed_of, cell, answered, is_right))
    return pl.DataFrame(sorted(rows, key=lambda r: (r["attempt"], r["response_index"])), schema=COLUMNS)


def _answer(
    prompts: list[dict], settings: Synthesis, answerer, seed_of, cell: str, on_progress, is_right
) -> list[dict]:
    """Phase 2: the rows of these prompts, one for each response that was sampled."""
    engine, turns = answerer()
    count = settings.responses_per_prompt
    series = [
        Series(
            turns.response_context(turns.encode(prompt["prompt"])),
            [seed_of("response", prompt["attempt"] * count + index) for index in range(count)],
        )
        for prompt in prompts
    ]

    def more(number: int, made: Sequence[Generation]) -> int:
        if is_right is not None:
            rows = _rows(prompts[number], series[number].seeds, made, turns, cell, voted=False)[-1:]
            wrong = all(row["response_end"] != "completed" or is_right(row) is False for row in rows)
            return 1 if wrong and len(made) < count else 0
        return fewest_more([_ended(generation, turns)[2] for generation in made], count, settings.stop_at_agreement)

    answers = sample(engine, series, settings.response, {turns.response_end}, more, on_progress)
    return [
        row
        for prompt, one, generations in zip(prompts, series, answers, strict=True)
        for row in _rows(prompt, one.seeds, generations, turns, cell, voted=is_right is None)
    ]


def _ended(generation: Generation, turns: Turns) -> tuple[str, str, str | None]:
    """How a response ended, its text, and what it comes down to: None where it did not complete."""
    end, text = ending(generation, turns)
    return end, text, final_answer(text) if end == "completed" else None


def _rows(
    prompt: dict, seeds: list[int], generations: Sequence[Generation], turns: Turns, cell: str, voted: bool
) -> list[dict]:
    """The rows of one prompt. `seeds` are those of all responses that might have been sampled, `voted` says whether their
    number was independent of which of them was right.

    Agreement is the share of all these: a response that did not complete agrees with none, and one that was not sampled
    counts as such, which leaves it on the right side of what sampling stopped for.
    """
    ends = [_ended(generation, turns) for generation in generations]
    top, votes = majority([answer for _, _, answer in ends])
    rows = []
    for index, (generation, (end, text, answer)) in enumerate(zip(generations, ends, strict=True)):
        facts = {
            "response_seed": seeds[index], "response": text, "response_end": end, "final_answer": answer,
            "response_tokens": len(generation.ids) + generation.stopped,
        }  # fmt: skip
        if votes and voted:
            facts |= {"agreement": votes / len(seeds), "majority_answer": answer == top}
        rows.append(_row(cell, {**prompt, **facts}, index))
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


def responses_saved(corpus: "pl.DataFrame", count: int) -> int:
    """Responses that were not sampled, out of `count` to each prompt that ended."""
    import polars as pl

    answered = corpus.filter(pl.col("prompt_end") == "completed")
    return answered["attempt"].n_unique() * count - answered.height


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
    is_right: Callable[[dict], bool | None] | None = None,
) -> "pl.DataFrame":
    """Shards until `settings.target` rows are completed or `settings.max_attempts` are spent.

    `is_right` judges a row of the corpus, None where that cannot be told of any response to its prompt: a prompt gets no more
    responses once one is right or nothing can be told, and none of its rows says how many agree. Whole shards found in `scratch` are taken as they are. Ends early, with what there is, only at the attempt budget:
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
            shard = write_shard(
                attempts, count, settings, writer, answerer, turns, seed_of, cell, tell, context, is_right
            )
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
