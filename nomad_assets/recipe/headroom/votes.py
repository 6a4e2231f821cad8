"""Several sampled answers to one question: what a vote makes of them, and what a program that knows a right one would find.

Worked example: four answers that come down to 7, 7, 9 and 12, of which 9 is right. The majority (7) is wrong, so `majority`
is 0; one is right, so `any_right` is 1; a single answer is right a quarter of the time, `single` 0.25; half of them agree,
`agreement` 0.5. Where several answers have equally many votes one is drawn, so `majority` is their mean.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.synthesis import final_answer
from nomad_assets.recipe.seeding import derive_seed

if TYPE_CHECKING:
    import polars as pl

MAJORITY, ANY_RIGHT, SINGLE, AGREEMENT = "majority", "any_right", "single", "agreement"


def vote(answers: list[str], right: list[float]) -> dict[str, float]:
    """The four figures of one question; `right` is the share of each answer that is right, mostly 0 or 1."""
    cast = [final_answer(answer) for answer in answers]
    votes = Counter(cast)
    most = max(votes.values())
    winners = [value for answer, value in zip(cast, right, strict=True) if votes[answer] == most]
    return {
        MAJORITY: sum(winners) / len(winners), ANY_RIGHT: max(right), SINGLE: sum(right) / len(right),
        AGREEMENT: most / len(cast),
    }  # fmt: skip


def sample_answers(
    folder: Path,
    questions: "pl.DataFrame",
    most_tokens: Mapping[str, int],
    *,
    answers: int,
    temperature: float,
    batch_size: int,
    precision: str,
    seed: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[list[str]]:
    """So many sampled answers to each question (id, benchmark, question), in the order of the questions.

    `most_tokens` is the longest answer of each benchmark. Questions are put as lm-evaluation-harness puts them.
    """
    from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
    from nomad_assets.recipe.models.loading import load_tokenizer
    from nomad_assets.recipe.models.turns import Turns

    turns = Turns(load_tokenizer(folder), str(folder))
    engine = TransformersEngine.load(folder, batch_size=batch_size, pad_id=turns.pad, precision=precision)
    found: dict[str, list[str]] = {}
    try:
        for name, most in most_tokens.items():
            asked = questions.filter(benchmark=name).select("id", "question").rows()
            contexts = [turns.response_context(turns.encode(text.strip())) for _, text in asked]
            requests = [
                Request(context, derive_seed(seed, "answer", row_id, number))
                for (row_id, _), context in zip(asked, contexts, strict=True)
                for number in range(answers)
            ]
            sampling, before = Sampling(temperature=temperature, max_new_tokens=most), len(found) * answers
            made = engine.generate(
                requests, sampling, {turns.response_end}, lambda done, before=before: on_progress(before + done)
            )
            texts = [turns.decode(generation.ids).strip() for generation in made]
            found |= {row_id: texts[i * answers : (i + 1) * answers] for i, (row_id, _) in enumerate(asked)}
    finally:
        engine.close()
    return [found[row_id] for row_id in questions["id"]]
