"""The text tasks that ship: their answers are right, the only right ones, and told apart by the scoring rule."""

import importlib
import random
import re
from collections import Counter, defaultdict
from types import ModuleType

import pytest

from nomad_assets.recipe.curation.contamination import ContaminationIndex
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.evaluation.scorer import EXACT_MATCH
from nomad_assets.recipe.evaluation.scorers.triviaqa import TriviaQA, normalise_official
from nomad_assets_tests.data.shipped_rows import DATA, SIDES, rows
from nomad_assets_tests.data.unseen_text_tasks import ANSWERS

MAX_WORDS = {"question": 24, "answer": 6}
MIN_TEMPLATES = 60
DRAWS = 40
ARTICLES = {"a", "an", "the"}
# What the spellings of one answer may add to it.
UNITS = re.compile(r"\b(and|dollars?|words?|numbers?|times?|years?|animals?|in|on|room)\b|(?<=\d)(?:st|nd|rd|th)\b")
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
)
NUMBERS += "seventeen eighteen nineteen".split()
ORDINALS = "zeroth first second third fourth fifth".split()
VOCABULARIES = (
    "NAMES LAST_NAMES THINGS GOODS SMALL_THINGS HOLDERS PLURALS ANIMALS COLORS ACTIVITIES FOODS CITIES DAYS MONTHS ORDINALS"
).split()

every_side = pytest.mark.parametrize("side", SIDES)
every_template = pytest.mark.parametrize(
    "template", sorted({row["template"] for row in rows("text_tasks", "benchmark")})
)


def tasks(side: str, template: str | None = None) -> list[dict]:
    return [row for row in rows("text_tasks", side) if template in (None, row["template"])]


def templates(side: str) -> set[str]:
    return {row["template"] for row in tasks(side)}


def scores(response: str, row: dict) -> bool:
    return TriviaQA().score(response, row["answers"])[EXACT_MATCH] == 1


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DATA))
    return importlib.import_module("builder.text_tasks")


# Shape and split.


@every_side
def test_rows_are_short_and_well_formed(side: str) -> None:
    for row in tasks(side):
        assert list(row) == ["id", "question", "answers", "difficulty", "template"]
        assert row["question"] == " ".join(row["question"].split()), row
        assert row["question"][0].isupper(), row
        assert len(row["question"].split()) <= MAX_WORDS["question"], row
        assert all(answer and len(answer.split()) <= MAX_WORDS["answer"] for answer in row["answers"]), row


@every_side
def test_a_profile_reads_them(side: str) -> None:
    read = read_source(str(DATA / side / "text_tasks.jsonl"), cluster="template").rows
    found = [(row.given_id, row.prompt, row.response, list(row.answers), row.cluster) for row in read]
    wanted = [(row["id"], row["question"], row["answers"][0], row["answers"], row["template"]) for row in tasks(side)]
    assert found == wanted


def test_half_of_the_benchmark_is_of_templates_that_the_seeds_lack() -> None:
    seen, asked = templates("seed"), templates("benchmark")
    assert seen < asked and len(asked) >= MIN_TEMPLATES
    assert len(asked - seen) >= len(asked) / 2
    assert sum(row["template"] in seen for row in tasks("benchmark")) == len(tasks("benchmark")) / 2


@every_template
def test_a_template_has_one_difficulty_and_its_share_of_rows(template: str) -> None:
    found = [row for side in SIDES for row in tasks(side, template)]
    assert len({row["difficulty"] for row in found}) == 1
    assert len(tasks("benchmark", template)) >= 5
    assert template not in templates("seed") or len(tasks("seed", template)) >= 40


def test_every_template_has_several_wordings_and_one_answer(builder: ModuleType) -> None:
    for level in builder.LEVELS.values():
        for template in (*level.SEED_TEMPLATES, *level.UNSEEN_TEMPLATES):
            task = template(random.Random(1))
            assert len(set(task.wordings)) == (3 if template in level.SEED_TEMPLATES else 2), template


def test_no_benchmark_task_has_the_data_of_a_seed(builder: ModuleType) -> None:
    words = importlib.import_module("builder.text_words")
    known = {word.lower() for name in VOCABULARIES for word in getattr(words, name)}

    def data(row: dict) -> tuple:
        """Its numbers and words, without the wording and in any order."""
        found = [word for word in re.findall(r"\w+", row["question"].lower()) if word in known or word.isdigit()]
        assert len(found) >= 2, row
        return row["template"], *sorted(found)

    trained = {data(row) for row in tasks("seed")}
    asked = [row for row in tasks("benchmark") if row["template"] in templates("seed")]
    assert [row["id"] for row in asked if data(row) in trained] == []


@pytest.mark.parametrize("limit", [40, 200, None])
def test_no_seed_counts_as_a_benchmark_question(limit: int | None) -> None:
    questions = [(row["id"], row["question"], row["answers"]) for row in tasks("benchmark")[:limit]]
    index = ContaminationIndex(questions)
    assert [row["id"] for row in tasks("seed") if index.find(row["question"], row["answers"][0])] == []
    assert index.find(questions[0][1]), "the rule looks for something"


# Answers.


@every_template
def test_answers_of_unseen_templates_are_right(template: str) -> None:
    if template in templates("seed"):
        assert template not in ANSWERS  # the solver computes them
        return
    for row in tasks("benchmark", template):
        assert ANSWERS[template](row["question"]) == row["answers"][0], row


def test_answers_of_unseen_templates_are_right_in_every_wording(builder: ModuleType) -> None:
    for level in builder.LEVELS.values():
        for template in level.UNSEEN_TEMPLATES:
            rng = random.Random(template.__name__)
            for task in (template(rng) for _ in range(DRAWS)):
                found = {ANSWERS[template.__name__](wording) for wording in task.wordings}
                assert found == {task.answers[0]}, task


def meaning(answer: str) -> list[str]:
    """The words of an answer without units, numbers in digits, in any order: "two words" -> ["2"]."""
    words = re.findall(r"\w+", UNITS.sub("", re.sub(r"(?<=\b\w)\.", "", answer)).lower())
    for spelled in (NUMBERS, ORDINALS, ["", "once", "twice"]):
        words = [str(spelled.index(word)) if word in spelled else word for word in words]
    return sorted(words)


@every_side
def test_the_accepted_answers_of_a_task_say_the_same_in_several_spellings(side: str) -> None:
    for row in tasks(side):
        first, *others = row["answers"]
        assert all(meaning(other) == meaning(first) != [] for other in others), row
        assert len({normalise_official(answer) for answer in row["answers"]}) == len(row["answers"]), row


@every_side
def test_the_scoring_rule_drops_no_word_of_an_answer(side: str) -> None:
    for row in tasks(side):
        for answer in row["answers"]:
            assert not ARTICLES & set(re.findall(r"\w+", answer.lower())), row
            assert re.findall(r"\w+", answer.lower()) == normalise_official(answer).split(), row


def wrong_answers(row: dict) -> list[str]:
    """What a model that misses the point would write: a part of the prompt as it stands, the right items in a wrong order,
    one too few or too many, a number that is off by one."""
    right = row["answers"][0]
    words = re.findall(r"[^\s,:-]+", right)
    clauses = [clause.strip() for clause in re.split(r"[:;.?](?=\s|$)", row["question"])]
    found = [row["question"], "", f"{right} {words[-1]}", *(clause for clause in clauses if " " in clause)]
    if len(words) > 1:
        found += [" ".join(words[1:]), " ".join(words[:-1]), "".join(words)]
    if len(set(words)) > 1 and row["template"] != "latest_date":  # "May 3" is as right as "3 May"
        found += [" ".join(reversed(words)), " ".join(words[1:] + words[:1])]
    if number := re.fullmatch(r"\$?(\d+)", right):
        found += [str(int(number[1]) + 1), str(int(number[1]) - 1), f"{number[1]}0"]
    return found


@every_side
def test_no_wrong_answer_scores(side: str) -> None:
    for row in tasks(side):
        assert scores(row["answers"][0], row)
        found = wrong_answers(row)
        assert len(found) >= 4, row
        assert [wrong for wrong in found if scores(wrong, row)] == [], row


@every_template
def test_no_single_answer_serves_a_whole_template(template: str) -> None:
    counts = Counter(row["answers"][0] for side in SIDES for row in tasks(side, template))
    assert max(counts.values()) / counts.total() <= 0.6


def test_seeds_do_not_give_away_the_answer_by_its_place() -> None:
    """Where one of the listed items is asked for by what it is, no place holds the answer in most rows."""
    by_place: dict[str, Counter] = defaultdict(Counter)
    for row in tasks("seed"):
        places = [run.split(", ") for run in re.findall(r"\w+(?:, \w+)+", row["question"])]
        if len(places) == 1 and row["answers"][0] in places[0]:
            by_place[row["template"]][places[0].index(row["answers"][0])] += 1
    by_what = {"largest_number", "smallest_number", "starts_with"}
    assert by_what <= set(by_place)
    for template in by_what:
        assert max(by_place[template].values()) / by_place[template].total() <= 0.6, template
