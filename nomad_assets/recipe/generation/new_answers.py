"""New answers to seed prompts, kept where they come to the seed's own final answer (rejection sampling).

Worked example: to "2 + 3?" with the seed answer "2 + 3 = 5\\n#### 5" a model writes "3 + 2 = 5\\n#### 5", "#### 6" and the seed's
answer again. The first is kept: the second comes to another number, the third is no new answer.
Yuan et al., Scaling Relationship on Learning Mathematical Reasoning with Large Language Models (arXiv 2308.01825).
"""

from collections.abc import Sequence
from pathlib import Path

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.synthesis import ending, final_answer
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed

Example = tuple[str, str, str]
"""id, prompt and response."""


def new_answers(
    folder: Path,
    seeds: Sequence[Example],
    each: int,
    sampling: Sampling,
    most: int,
    *,
    seed: int,
    batch_size: int,
    precision: str,
    progress: Progress = silent,
) -> list[Example]:
    """Up to `most` examples with new responses by the model in `folder`, of `each` sampled for every seed prompt.

    One of every prompt comes before a second one of any. Ids are the seed's with the number of the answer behind.
    """
    turns = Turns(load_tokenizer(folder), str(folder))
    engine = TransformersEngine.load(folder, batch_size=batch_size, pad_id=turns.pad, precision=precision)
    asked = [(example, number) for number in range(each) for example in seeds]
    requests = [
        Request(turns.response_context(turns.encode(prompt)), derive_seed(seed, row_id, number))
        for (row_id, prompt, _), number in asked
    ]
    try:
        written = engine.generate(
            requests, sampling, {turns.response_end}, lambda done: progress("answers", done, len(requests), {})
        )
    finally:
        engine.close()
    known = {(row_id, " ".join(response.split())) for row_id, _, response in seeds}
    found: list[Example] = []
    for ((row_id, prompt, response), number), generation in zip(asked, written, strict=True):
        end, text = ending(generation, turns)
        key = row_id, " ".join(text.split())
        if end != "completed" or key in known or final_answer(text) != final_answer(response):
            continue
        known.add(key)
        found.append((f"{row_id}-{number}", prompt, text))
    return found[:most]
