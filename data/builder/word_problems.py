"""The two word-problem files: every template is drawn in turn until each difficulty has its rows.

The benchmark takes half of its rows from templates that the seeds have and half from templates that they lack.
"""

import random
import re
from collections.abc import Callable, Sequence, Set
from types import ModuleType

from builder import level1_templates, level2_templates, level3_templates, level4_templates
from builder.story import UnfitNumbersError, Work

LEVELS: dict[int, ModuleType] = {
    1: level1_templates,
    2: level2_templates,
    3: level3_templates,
    4: level4_templates,
}
# Rows of each difficulty, 1 first.
TARGETS = {"seed": (880, 700, 450, 450), "benchmark": (240, 130, 80, 70)}
MAX_TRIES = 2000

Template = Callable[[random.Random, Work], str]


def build(seed: int) -> dict[str, list[dict]]:
    """File rows by side, "seed" and "benchmark".

    Raises:
        RuntimeError: a template yields no new problem; its numbers or nouns have to be widened.
    """
    taken: set[str] = set()
    # Template and sums of every seed row: the benchmark has neither its questions nor its numbers from there.
    solved: set[str] = set()
    files: dict[str, list[dict]] = {}
    for side, targets in TARGETS.items():
        rows = []
        for difficulty, target in enumerate(targets, start=1):
            level = LEVELS[difficulty]
            rng = random.Random(f"{seed}:word:{side}:{difficulty}")
            if side == "seed":
                rows += _draw(level.SEED_TEMPLATES, target, difficulty, rng, taken, frozenset())
            else:
                rows += _draw(level.SEED_TEMPLATES, target // 2, difficulty, rng, taken, solved)
                rows += _draw(level.UNSEEN_TEMPLATES, target - target // 2, difficulty, rng, taken, solved)
        if side == "seed":
            solved.update(_sums(row) for row in rows)
        random.Random(f"{seed}:word:{side}:order").shuffle(rows)
        files[side] = [{"id": f"word-{side[0]}-{index:05d}", **row} for index, row in enumerate(rows, start=1)]
    return files


def _draw(
    templates: Sequence[Template], count: int, difficulty: int, rng: random.Random, taken: set[str], solved: Set[str]
) -> list[dict]:
    """`count` new problems, the templates in turn; `taken` gets their questions, the sums in `solved` are avoided."""
    order = rng.sample(templates, len(templates))
    return [_one(order[index % len(order)], difficulty, rng, taken, solved) for index in range(count)]


def _one(template: Template, difficulty: int, rng: random.Random, taken: set[str], solved: Set[str]) -> dict:
    limit = LEVELS[difficulty].MAX_RESULT
    for _ in range(MAX_TRIES):
        work = Work()
        try:
            question = template(rng, work)
        except UnfitNumbersError:
            continue
        if max(work.results) > limit or question.casefold() in taken:
            continue
        row = {
            "question": question,
            "answer": "\n".join([*work.lines, f"#### {work.results[-1]}"]),
            "difficulty": difficulty,
            "template": template.__name__,
        }
        if _sums(row) not in solved:
            taken.add(question.casefold())
            return row
    raise RuntimeError(f"{template.__name__}: no new problem in {MAX_TRIES} draws")


def _sums(row: dict) -> str:
    """The template and the sums of a problem, without names, nouns and units."""
    return " ".join([row["template"], *re.findall(r"[0-9]+|[-+*/]", row["answer"])])
