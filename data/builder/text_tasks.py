"""The two files of text tasks: every template is drawn in turn until each difficulty has its rows.

The benchmark takes half of its rows from templates that the seeds have and half from templates that they lack.
"""

import random
import re
from collections.abc import Callable, Sequence, Set
from types import ModuleType

from builder import text_level1_templates, text_level2_templates, text_level3_templates
from builder.text_words import Task

LEVELS: dict[int, ModuleType] = {1: text_level1_templates, 2: text_level2_templates, 3: text_level3_templates}
# Rows of each difficulty, 1 first.
TARGETS = {"seed": (720, 720, 576), "benchmark": (216, 216, 168)}
# Words in a row that no benchmark task shares with a seed: none of the seeds is taken for a benchmark question.
SHARED_RUN = 8
MAX_TRIES = 2000

Template = Callable[[random.Random], Task]


def build(seed: int) -> dict[str, list[dict]]:
    """File rows by side, "seed" and "benchmark".

    Raises:
        RuntimeError: a template yields no new task; its word lists have to be longer.
    """
    taken: set[str] = set()
    runs: set[str] = set()
    files: dict[str, list[dict]] = {}
    for side, targets in TARGETS.items():
        rows = []
        for difficulty, target in enumerate(targets, start=1):
            level = LEVELS[difficulty]
            rng = random.Random(f"{seed}:task:{side}:{difficulty}")
            if side == "seed":
                rows += _draw(level.SEED_TEMPLATES, target, difficulty, rng, taken, runs)
            else:
                rows += _draw(level.SEED_TEMPLATES, target // 2, difficulty, rng, taken, runs)
                rows += _draw(level.UNSEEN_TEMPLATES, target - target // 2, difficulty, rng, taken, runs)
        if side == "seed":
            runs = {run for row in rows for run in _runs(row["question"])}
        random.Random(f"{seed}:task:{side}:order").shuffle(rows)
        files[side] = [{"id": f"task-{side[0]}-{index:05d}", **row} for index, row in enumerate(rows, start=1)]
    return files


def _draw(
    templates: Sequence[Template], count: int, difficulty: int, rng: random.Random, taken: set[str], runs: Set[str]
) -> list[dict]:
    """`count` new tasks, the templates in turn; `taken` gets all their wordings, runs of words in `runs` are avoided."""
    order = rng.sample(templates, len(templates))
    return [_one(order[index % len(order)], difficulty, rng, taken, runs) for index in range(count)]


def _one(template: Template, difficulty: int, rng: random.Random, taken: set[str], runs: Set[str]) -> dict:
    for _ in range(MAX_TRIES):
        task = template(rng)
        question = rng.choice(task.wordings)
        # The same data in other words are no new task.
        wordings = {wording.casefold() for wording in task.wordings}
        if taken.isdisjoint(wordings) and runs.isdisjoint(_runs(question)):
            taken |= wordings
            return {
                "question": question,
                "answers": list(task.answers),
                "difficulty": difficulty,
                "template": template.__name__,
            }
    raise RuntimeError(f"{template.__name__}: no new task in {MAX_TRIES} draws")


def _runs(question: str) -> set[str]:
    words = re.findall(r"\w+", question.casefold())
    return {" ".join(words[start : start + SHARED_RUN]) for start in range(len(words) - SHARED_RUN + 1)}
