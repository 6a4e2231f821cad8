"""The two trivia files: entities are split, every form is written for each side, and a balanced sample is drawn."""

import random
from collections import Counter
from collections.abc import Iterator

from builder import choice_forms, country_forms, element_forms, language_forms, place_forms
from builder.editorial import NO_BORDER
from builder.phrasing import CHOICE_FORMS
from builder.rows import Trivia
from builder.split import Side, split_sides

MAX_CHOICE_SHARE = 0.18
MAX_QUESTION_WORDS = 14
# Rows of each difficulty, 1 first.
TARGETS = {"seed": (640, 760, 600, 420), "benchmark": (140, 130, 90, 60)}
# No form has more rows of one difficulty than this.
FORM_LIMIT = {"seed": 90, "benchmark": 18}
CHOICE_FORM_LIMIT = {"seed": 20, "benchmark": 4}


def build(seed: int) -> dict[str, list[dict]]:
    """File rows by side, "seed" and "benchmark"."""
    sides = split_sides(seed)
    everyone = [entity for side in sides for entity in side.countries]
    languages = tuple(language for side in sides for language in side.languages)
    files = {}
    for side in sides:
        rng = random.Random(f"{seed}:trivia:{side.name}")
        candidates = [
            row
            for row in _candidates(side, rng, tuple(everyone), languages)
            if len(row.question.split()) <= MAX_QUESTION_WORDS
        ]
        rows = _sample(_unambiguous(candidates), side.name, rng)
        letter = side.name[0]
        files[side.name] = [
            {
                "id": f"trivia-{letter}-{index:05d}",
                "question": row.question,
                "answers": list(row.answers),
                "difficulty": row.difficulty,
                "form": row.form,
            }
            for index, row in enumerate(rows, start=1)
        ]
    return files


def _candidates(side: Side, rng: random.Random, countries: tuple, languages: tuple) -> Iterator[Trivia]:
    yield from country_forms.name_forms(side, rng)
    yield from country_forms.money_forms(side, rng, countries)
    yield from country_forms.code_forms(side, rng)
    yield from country_forms.border_forms(side, rng, NO_BORDER)
    yield from place_forms.city_forms(side, rng)
    yield from place_forms.state_forms(side, rng)
    yield from element_forms.symbol_forms(side, rng)
    yield from element_forms.number_forms(side, rng)
    yield from language_forms.calendar_forms(side, rng, languages)
    yield from language_forms.naming_forms(side, rng)
    yield from choice_forms.comparison_forms(side, rng)
    yield from choice_forms.picking_forms(side, rng, NO_BORDER)


def _unambiguous(candidates: list[Trivia]) -> list[Trivia]:
    """The rows without any question that was written with two different canonical answers, and without repeats."""
    canonical: dict[str, set[str]] = {}
    for row in candidates:
        canonical.setdefault(row.question.casefold(), set()).add(row.answers[0].casefold())
    kept: dict[str, Trivia] = {}
    for row in candidates:
        if len(canonical[row.question.casefold()]) == 1:
            kept.setdefault(row.question.casefold(), row)
    return list(kept.values())


def _sample(rows: list[Trivia], side: str, rng: random.Random) -> list[Trivia]:
    """Up to the target of each difficulty, spread over forms, in random order."""
    chosen: list[Trivia] = []
    for difficulty, target in enumerate(TARGETS[side], start=1):
        pool = [row for row in rows if row.difficulty == difficulty]
        rng.shuffle(pool)
        taken: Counter[str] = Counter()
        choices = 0
        for row in pool:
            is_choice = row.form in CHOICE_FORMS
            limit = CHOICE_FORM_LIMIT[side] if is_choice else FORM_LIMIT[side]
            if taken[row.form] >= limit or (is_choice and choices >= MAX_CHOICE_SHARE * target):
                continue
            if sum(taken.values()) == target:
                break
            taken[row.form] += 1
            choices += is_choice
            chosen.append(row)
    rng.shuffle(chosen)
    return chosen
