"""studies/text_tasks/solver.py: right on every shipped task, silent where nothing is right, and never an error."""

import importlib
import random
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nomad_assets.plugins import locate
from nomad_assets.profile.sections import Verifier
from nomad_assets.recipe.curation.user_rules import OneRow, open_user_rule
from nomad_assets_tests.data.shipped_rows import DATA, SIDES, rows

SOLVER = Path(__file__).resolve().parents[2] / "studies" / "text_tasks" / "solver.py"
USE = f"python:{SOLVER}:solve"
DRAWS = 60
PLUGIN = locate("verifiers", USE, SOLVER.parent, "curation.verifiers.0.use")
answer = PLUGIN.load().__globals__["answer"]

PROMPTS = [row["question"] for row in rows("text_tasks", "seed")]
SEEN = {row["template"] for row in rows("text_tasks", "seed")}
words = st.sampled_from("kite lamp drum spoon river tiger onion wagon zebra queen".split())
names = st.sampled_from("Ana Ben Leo Mia Zoe Tom".split())
numbers = st.integers(0, 999)


def several(items: st.SearchStrategy, most: int = 10) -> st.SearchStrategy:
    return st.lists(items, min_size=2, max_size=most)


def distinct(items: st.SearchStrategy, most: int = 10) -> st.SearchStrategy:
    return st.lists(items, min_size=2, max_size=most, unique=True)


def listed(items: list) -> str:
    return ", ".join(map(str, items))


def first(prompt: str) -> str | None:
    found = answer(prompt)
    return found[0] if found else None


# Shipped rows.


@pytest.mark.parametrize("side", SIDES)
def test_it_gives_the_accepted_answers_of_every_task_of_a_seed_template(side: str) -> None:
    found = [row for row in rows("text_tasks", side) if row["template"] in SEEN]
    assert len(found) >= 300
    assert [row for row in found if answer(row["question"]) != row["answers"]] == []


def test_it_claims_nothing_about_other_templates_and_other_benchmarks() -> None:
    others = [row["question"] for row in rows("text_tasks", "benchmark") if row["template"] not in SEEN]
    others += [row["question"] for kind in ("trivia", "word_problems") for side in SIDES for row in rows(kind, side)]
    assert len(others) > 5000
    assert [prompt for prompt in others if answer(prompt) is not None] == []


def test_every_wording_with_any_data_is_answered_as_the_builder_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DATA))
    builder: ModuleType = importlib.import_module("builder.text_tasks")
    for level in builder.LEVELS.values():
        for template in level.SEED_TEMPLATES:
            rng = random.Random(template.__name__)
            for task in (template(rng) for _ in range(DRAWS)):
                assert [answer(wording) for wording in task.wordings] == [list(task.answers)] * 3, task


def test_as_a_verifier_it_keeps_right_responses_and_drops_wrong_ones() -> None:
    make = open_user_rule(Verifier(use=USE, scorer="triviaqa"), "verifier.solve", PLUGIN)

    def kept(prompt: str, response: str) -> bool:
        return make(OneRow({"id": "1", "prompt": prompt, "response": response})).verdict(0) is None

    by_template = {row["template"]: row for row in rows("text_tasks", "seed")}
    for row in by_template.values():
        assert all(kept(row["question"], response) for response in row["answers"]), row
        assert not kept(row["question"], f"not {row['answers'][0]}"), row
    assert not kept("Which number is the largest: 4, 4?", "4"), "what it cannot answer is dropped"


# Data and wordings that the seeds do not have.


@pytest.mark.parametrize(
    ("prompt", "right"),
    [
        ("Which word is first in this list: Ice, fire?", "Ice"),
        ("What is the seventh word of this list: a1", None),
        ("Name the third word in the list: bee, wasp, ant, fly", "ant"),
        ("List: bee, wasp, fly. Which word is last?", "fly"),
        ("Which number is the biggest: 1000, 20 or 300?", "1000"),
        ("Find the lowest number: 0, 5, 12.", "0"),
        ("Sort these words alphabetically: pear, Fig, lime, date, kiwi, plum", "date, Fig, kiwi, lime, pear, plum"),
        ("sort from smallest to largest: 10, 9, 100, 1, 50, 6", "1, 6, 9, 10, 50, 100"),
        ("How many words are in this list: one, two, three, four, five, six, seven, eight, nine, ten?", "10"),
        ("Replace fox with bear in this list: fox, owl", "bear, owl"),
        ("How many of these numbers are greater than 90: 1, 2, 3?", "0"),
        ("Ages: Ana 8, Ben 41, Cy 19, Di 40, Ed 3. Who is the oldest?", "Ben"),
        ("Anna is 12 years old and Bert is 9 years old. How many years older is Anna than Bert?", "3"),
        ("The sofa is $900 and the lamp is $85. How much is the sofa?", "$900"),
        ("Pen: $1. Cup: $20. What does the pen cost?", "$1"),
        ("Chess starts at 13:00, yoga starts at 9:30. What starts first?", "yoga"),
        ("Write 29 February 2024 as YYYY-MM-DD.", "2024-02-29"),
        ("What are the initials of Mary Ann Poe?", "MAP"),
        ("Who is named here? Yesterday Sarah painted the boat.", "Sarah"),
        ("Find the number: Yesterday we saw 310 birds.", "310"),
        ("Write\nthe first word of this list:\nsun, moon", "sun"),
    ],
)
def test_close_wordings_and_other_data_are_understood(prompt: str, right: str | None) -> None:
    assert first(prompt) == right


@given(numbers=distinct(numbers))
def test_distinct_numbers_are_sorted_and_compared(numbers: list[int]) -> None:
    assert first(f"Numbers: {listed(numbers)}. Write them from smallest to largest.") == listed(sorted(numbers))
    assert first(f"Which number is the largest: {listed(numbers)}?") == str(max(numbers))
    assert first(f"Write the smallest of these numbers: {listed(numbers)}") == str(min(numbers))


@given(numbers=several(numbers), more=st.integers(1, 9))
def test_ties_have_no_answer(numbers: list[int], more: int) -> None:
    tied = [*numbers, max(numbers)]
    assert answer(f"Which number is the largest: {listed(tied)}?") is None
    assert answer(f"Numbers: {listed([*numbers, min(numbers)])}. Which is the smallest?") is None
    assert answer(f"Sort from smallest to largest: {listed(tied)}") is None
    assert answer(f"How many numbers are above {more}: {listed(tied)}?") is None
    age = numbers[0] + more
    assert answer(f"Ana is {age}, Ben is {numbers[0]} and Leo is {age}. Who is the oldest?") is None
    assert answer(f"Ages: Ana {age}, Ben {age}. How many years older is Ana?") is None
    assert answer(f"Prices: pen ${age}, cup ${numbers[0]}, hat ${numbers[0]}. Which is the cheapest?") is None


@given(items=distinct(words, 6))
def test_words_that_are_missing_or_there_twice_have_no_answer(items: list[str]) -> None:
    word, last = items[0], items[-1]
    twice = listed([*items, word])
    for once in (f"Remove {word} from this list", f"Change {word} to ice in this list"):
        assert answer(f"{once}: {listed(items)}") is not None
        assert answer(f"{once}: {twice}") is None
        assert answer(f"{once}: {listed(items[1:])}") is None
    assert answer(f"Which word comes right after {last}: {listed(items)}?") is None
    assert answer(f"Sort in alphabetical order: {twice}") is None
    assert answer(f"Count the words: {twice}") is None
    assert answer(f"Which word appears most often: {listed(items * 2)}?") is None
    assert answer(f"How many times does ice appear: {listed(items)}?") is None
    assert answer(f"First list: {listed(items)}. Second list: {listed(items[::-1])}. Which word is in both?") is None


@given(items=several(words))
def test_lists_keep_their_order_unless_told_otherwise(items: list[str]) -> None:
    assert first(f"Reverse the order of this list: {listed(items)}") == listed(items[::-1])
    assert first(f"Write the first word of this list: {listed(items)}") == items[0]
    assert first(f"List: {listed(items)}. What is the last word?") == items[-1]


@given(people=st.dictionaries(names, st.integers(1, 99), min_size=3))
def test_the_oldest_is_named_where_nobody_is_as_old(people: dict[str, int]) -> None:
    oldest = [name for name, age in people.items() if age == max(people.values())]
    prompt = f"Ages: {listed([f'{name} {age}' for name, age in people.items()])}. Who is the oldest?"
    assert answer(prompt) == (oldest if len(oldest) == 1 else None)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "?",
        "Which word is first in this list:",
        "Which word is first in this list: kite?",
        "Which word is first in this list: kite spoon, river?",
        "Which word is first in this list: kite,, river?",
        "Which word is first in this list: kite, 4, river?",
        "Which word is first in this list: kite, the, river?",
        "Which word is first and last in this list: kite, river?",
        "Which word is first in this list: kite, river? Which word is last?",
        "Write the sixth word of this list: kite, river",
        "Words: 4, 5, 6. Which is the largest?",
        "Which number is the largest: 4, five, 6?",
        "Which number is the largest: 1,200, 6?",
        "Which number is the largest: 007, 6?",
        "Which number is the largest: -7, 6?",
        "Which number is the longest: 4, 6?",
        "Sort from largest to smallest: 4, 6",
        "Sort from smallest to smallest: 4, 6",
        "Which word starts with k: kite, king, river?",
        "Which word starts with b: kite, river?",
        "Which word is different: kite, lamp, river?",
        "Which word is different: kite, kite, lamp, lamp?",
        "Which word is there only once: kite, lamp, river?",
        "Change kite to in this list: kite, river",
        "Change kite to the in this list: kite, river",
        "Keep only the numbers above 50: 4, 6",
        "Ana likes red and Ben likes fish. Which color does Ana like?",
        "Ana likes red and Ana likes blue. Which color does Ana like?",
        "Ana likes red and Ben likes blue. Which color does Leo like?",
        "Ana likes red and Ben likes blue. Which color does Ana have?",
        "Ana likes red and Ben blue. Which color does Ana like?",
        "Ana has the kite and Ben took the drum. Who has the drum?",
        "Ana has the kite and How has the drum. Who has the drum?",
        "Ana has the kite and Ben has the kite. Who has the kite?",
        "Ages: Ana 5, Ben 9. How many years older is Ana?",
        "Ages: Ana 5, Ben 9, Leo 3. How many years older is Ben?",
        "Ages: Ana $5, Ben 9. Who is the oldest?",
        "How many years is Ana (9) older than Ana (5)?",
        "Prices: pen $4. What does the pen cost?",
        "Prices: pen $4.50, cup $3.20. What does the pen cost?",
        "Prices: pen $4, cup $3, hat $1. How much do both cost?",
        "A pen costs $4 and a pen costs $3. How much do both cost?",
        "Chess is on Monday and yoga is on Holiday. On which day is chess?",
        "What starts first: chess at 11:00 or yoga at 1:30?",
        "What starts first: chess at 12:10 or yoga at 9:30?",
        "What starts first: chess at 9:70 or yoga at 9:30?",
        "Code: kite = 1, lamp = 2. Write as numbers: kite, drum",
        "First list: kite, lamp. Second list: drum, river. Which word is in both?",
        "First list: kite, lamp. Second list: lamp, kite. Which word is in both?",
        "Which number is named? Tom bought 3 eggs and 4 pens.",
        "Which number is named? Tom bought two eggs and 4 pens.",
        "Which number is named? Tom bought eggs.",
        "Which number is named? The pen costs $4.50 today.",
        "Who is named here? Tom met Ana on Monday.",
        "Who is named here? Dogs bark at night.",
        "Who is named here? Rex saw Ana in the park.",
        "Who is named here? The train goes to London.",
        "Write only the year: 30 February 2020",
        "Write only the year: 29 February 2023",
        "The shop opened on 3 May 2001. In which year did it close?",
        "Write 31 June 1999 as YYYY-MM-DD.",
        "Write 3 Mai 1999 as YYYY-MM-DD.",
        "What are the initials of tom baker?",
        "What are the initials of Tom?",
        "What is Ana's last name?",
        "Names: Ana Reed, Ana Cole. What is Ana's last name?",
        "Write the first word of this list: kite, café",
        "Write the first word of this list: " + "kite, " * 200 + "kite",
    ],
)
def test_what_is_garbled_or_ambiguous_has_no_answer(prompt: str) -> None:
    assert answer(prompt) is None


# Any text.


def is_an_answer(found: object) -> bool:
    return found is None or (
        isinstance(found, list) and bool(found) and all(isinstance(text, str) and text for text in found)
    )


@given(prompt=st.text(max_size=600))
@example(prompt="Which number is the largest: " + "9" * 5000)
@example(prompt=", " * 250)
@example(prompt="a and " * 80)
@example(prompt="Kite: " * 80)
@example(prompt="Which number is the largest: \u0664, \u0665?")
@example(prompt="\x00\ud800")
def test_no_text_is_an_error(prompt: str) -> None:
    assert is_an_answer(answer(prompt))


@settings(max_examples=500)
@given(data=st.data(), prompt=st.sampled_from(PROMPTS))
def test_no_shipped_prompt_with_parts_changed_is_an_error(data: st.DataObject, prompt: str) -> None:
    parts = prompt.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(parts) - 1))
        other = data.draw(st.sampled_from([*PROMPTS[data.draw(st.integers(0, 50))].split(" "), "", "0", ":", ".", ","]))
        parts[place : place + data.draw(st.integers(0, 2))] = [other]
    assert is_an_answer(answer(" ".join(parts)))
