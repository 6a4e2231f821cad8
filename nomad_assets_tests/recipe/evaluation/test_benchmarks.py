"""Scoring rules: the worked examples, the authors' rules, and lm-evaluation-harness' own code as an oracle."""

import random
import re

import pytest

from nomad_assets.engine.tables import validate
from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import Row, Rows
from nomad_assets.recipe.evaluation.benchmarks import local_task, question_table, scorer_of
from nomad_assets.recipe.evaluation.scorers.triviaqa import normalise_official
from nomad_assets.recipe.evaluation.splits import with_splits
from nomad_assets.steps.benchmarks import BenchmarkQuestions


def gsm8k(response: str, gold: str) -> tuple[float, float, float]:
    """(official, strict, flexible)."""
    found = scorer_of("gsm8k").score(response, [gold])
    assert set(found) == {"exact_match", "lm_eval_strict", "lm_eval_flexible"}
    return found["exact_match"], found["lm_eval_strict"], found["lm_eval_flexible"]


def trivia(response: str, *answers: str) -> tuple[float, float, float]:
    """(official, F1, lm-eval)."""
    found = scorer_of("triviaqa").score(response, list(answers))
    assert set(found) == {"exact_match", "f1", "lm_eval_exact_match"}
    return found["exact_match"], found["f1"], found["lm_eval_exact_match"]


# GSM8K.


@pytest.mark.parametrize(
    ("response", "gold", "expected"),
    [
        ("9 * 2 = $18\n#### 18", "18", (1, 1, 1)),
        ("She makes $18 a day.", "18", (0, 0, 1)),
        # The first `####` counts, the last number of the flexible rule.
        ("#### 18\n#### 20", "18", (1, 1, 0)),
        ("#### 20\n#### 18", "18", (0, 0, 1)),
        # Commas go; everything else is compared as text.
        ("#### 1,234", "1234", (1, 1, 1)),
        ("#### 18.0", "18", (0, 0, 0)),
        ("#### -5", "-5", (1, 1, 1)),
        ("#### - 5", "-5", (0, 0, 0)),
        # A period at the end: the official rule keeps it, the harness drops it.
        ("#### 18.", "18", (0, 1, 1)),
        ("It is 18.", "18", (0, 0, 1)),
        ("It is 18..", "18", (0, 0, 0)),
        # A currency sign stops the official rule.
        ("#### $18", "18", (0, 0, 1)),
        ("####18", "18", (0, 0, 1)),
        ("##### 18", "18", (1, 1, 1)),
        # The flexible rule takes the last match, single digits too.
        ("2 and then 3", "3", (0, 0, 1)),
        ("2 and then 3", "2", (0, 0, 0)),
        ("no number", "18", (0, 0, 0)),
        ("", "18", (0, 0, 0)),
        ("18 ...", "18", (0, 0, 0)),
    ],
)
def test_gsm8k(response, gold, expected):
    assert gsm8k(response, gold) == expected


# TriviaQA.


@pytest.mark.parametrize(
    ("response", "answers", "expected"),
    [
        ("nile", ("The Nile", "Nile River"), (1, 1, 0)),
        ("Nile, in Africa", ("The Nile", "Nile River"), (0, 0.5, 0)),
        ("The Nile", ("The Nile", "Nile River"), (1, 1, 1)),
        ("NILE RIVER", ("The Nile", "Nile River"), (1, 1, 1)),
        # Cut at the first period by the harness alone.
        ("J. R. R. Tolkien", ("J. R. R. Tolkien",), (1, 1, 0)),
        ("J", ("J. R. R. Tolkien",), (0, 0.4, 0)),
        ("Tolkien\nHe wrote", ("Tolkien",), (0, 0.5, 1)),
        ("Tolkien.", ("Tolkien",), (1, 1, 1)),
        # Punctuation: a space to the official rule, nothing to the harness.
        ("Coca Cola", ("Coca-Cola",), (1, 1, 0)),
        ("CocaCola", ("Coca-Cola",), (0, 0, 1)),
        ("the_great_gatsby", ("Great Gatsby",), (1, 1, 0)),
        ("An apple a day", ("apple day",), (1, 1, 0)),
        ("", ("x",), (0, 0, 0)),
        ("the", ("x",), (0, 0, 0)),
        ("a b c d", ("b c e",), (0, pytest.approx(2 / 3), 0)),
        ("b b", ("b",), (0, pytest.approx(2 / 3), 0)),
        # Each metric takes its own best alias.
        ("b c", ("x", "b", "b d e"), (0, pytest.approx(2 / 3), 0)),
    ],
)
def test_triviaqa(response, answers, expected):
    assert trivia(response, *answers) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The_Great  Gatsby!", "great gatsby"),
        ("‘Rock’ ´n` Roll", "rock n roll"),
        ("Theatre of an ant", "theatre of ant"),
        ("A.A. Milne", "milne"),
        ("Ångström", "ångström"),
        ("don't", "don t"),
    ],
)
def test_the_official_normalisation(text, expected):
    assert normalise_official(text) == expected


# The harness' own code as an oracle.

PIECES = [
    "#### ", "####", "18", "1,234", "-5", "$", " ", ".", ",", "3.50", "\n", "the", "answer is ", "$18", "0", "%", "- 7", "#### 18", "#### 1,234.",
]  # fmt: skip
WORDS = ["Nile", " ", "the", ".", ",", "\n", "-", "J", "R", "Tolkien", "'s", "Saint", "St", "  ", "42", "!", "\t", "é"]


def texts(pieces: list[str], count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(pieces, k=draw.randint(0, 9))) for _ in range(count)]


@pytest.mark.parametrize(("metric", "group", "pattern"), [
    ("lm_eval_strict", 0, r"#### (\-?[0-9\.\,]+)"),
    ("lm_eval_flexible", -1, r"(-?[$0-9.,]{2,})|(-?[0-9]+)"),
])  # fmt: skip
def test_gsm8k_as_the_harness_scores_it(metric, group, pattern):
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter

    pick = RegexFilter(regex_pattern=pattern, group_select=group)
    responses = [*texts(PIECES, 120, 1), "9 * 2 = 18\n#### 18"]
    right = 0
    for response in responses:
        for gold in ("18", "1234", "-5", "0"):
            filtered = pick.apply([[response]], [{}])[0][0]
            expected = exact_match_fn(
                predictions=[filtered], references=[f"Some working: 3 + 4.\n#### {gold}"], ignore_case=True, ignore_punctuation=False,
                regexes_to_ignore=[",", "\\$", "(?s).*#### ", "\\.$"],
            )["exact_match"]  # fmt: skip
            assert scorer_of("gsm8k").score(response, [gold])[metric] == float(expected), (response, gold)
            right += expected
    assert right > 5, "the strings must try both outcomes"


def test_triviaqa_as_the_harness_scores_it():
    """Stop strings cut the text, white space before it goes, then an exact match without case and punctuation, best over aliases."""
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.api.registry import get_filter

    strip = get_filter("remove_whitespace")()
    answers = ["The Nile", "Nile", "St. Tolkien", "Tolkien's", "J", "Saint  42"]
    right = 0
    for response in [*texts(WORDS, 300, 2), "Nile ", " Nile", "Nile\t.", "Nile !", "! Nile", "saint  42 "]:
        cut = response
        for stop in ("\n", ".", ","):
            cut = cut.split(stop)[0]
        ((filtered,),) = (list(one) for one in strip.apply([[cut]], [{}]))
        for answer in answers:
            expected = exact_match_fn(
                predictions=[filtered], references=[answer], ignore_case=True, ignore_punctuation=True
            )["exact_match"]
            assert scorer_of("triviaqa").score(response, [answer])["lm_eval_exact_match"] == float(expected), (
                response,
                answer,
            )
            right += expected
    assert right > 5, "the strings must try both outcomes"


# Tables of questions.


def rows(*given: Row) -> Rows:
    return Rows(list(given))


def test_gsm8k_questions():
    table = question_table("maths", "gsm8k", rows(Row("s", 1, "x", "How many?", "6 * 200 = 1,200\n#### 1,200")))
    validate(with_splits(table, {}), BenchmarkQuestions, "questions")
    (row,) = table.to_dicts()
    assert row == {
        "id": f"maths-{Row('', 0, None, 'How many?', row['reference']).id}", "benchmark": "maths", "question": "How many?",
        "answers": ["1200"], "reference": "6 * 200 = 1,200\n#### 1,200", "cluster": row["id"],
    }  # fmt: skip


def test_trivia_questions():
    table = question_table(
        "trivia",
        "triviaqa",
        rows(Row("s", 1, None, "River?", "Nile", ("Nile", "The Nile")), Row("s", 2, None, "City?", "Lima")),
    )
    assert table.select("answers", "reference").rows() == [(["Nile", "The Nile"], "Nile"), (["Lima"], "Lima")]


def test_an_id_does_not_depend_on_the_place():
    one, two = Row("s", 1, None, "River?", "Nile"), Row("s", 2, None, "City?", "Lima")
    first = question_table("t", "triviaqa", rows(one, two))
    assert sorted(question_table("t", "triviaqa", rows(two, one))["id"]) == sorted(first["id"])
    assert question_table("t", "triviaqa", rows(one))["id"][0] == first["id"][0]


def test_equal_questions_count_once():
    assert (
        question_table(
            "t", "triviaqa", rows(Row("s", 1, None, "River?", "Nile"), Row("s", 2, None, "River?", "Nile"))
        ).height
        == 1
    )


@pytest.mark.parametrize("response", ["The answer is 18.", "####18", "#### eighteen"])
def test_a_gsm8k_row_without_a_readable_answer(response):
    message = f"seed/a.jsonl row 7: rule gsm8k needs an answer that ends in `#### N`; found {response!r}"
    with pytest.raises(NomadError, match=f"^{re.escape(message)}$"):
        question_table("maths", "gsm8k", rows(Row("seed/a.jsonl", 7, None, "How many?", response)))


def test_an_empty_response_is_never_right():
    """The official normalisation drops articles, and with them all of the answer "A" (a vitamin, a blood group, a note)."""
    assert trivia("", "A") == (0, 0, 0)
    assert trivia("?!", "A")[0] == 0
    assert trivia("A", "A")[0] == 1


def test_a_local_task():
    table = question_table("trivia", "triviaqa", rows(Row("s", 1, None, "River?", "Nile", ("Nile", "The Nile"))))
    task = local_task("trivia", "triviaqa", table, 12)
    assert task["generation_kwargs"] == {"until": [], "do_sample": False, "max_gen_toks": 12}
    assert [metric["metric"] for metric in task["metric_list"]] == ["exact_match", "f1", "lm_eval_exact_match"]
    (doc,) = task["custom_dataset"]()["test"]
    assert (doc["question"], doc["answers"], doc["reference"]) == ("River?", ["Nile", "The Nile"], "Nile")
    assert task["process_results"](doc, ["the nile"]) == {"exact_match": 1.0, "f1": 1.0, "lm_eval_exact_match": 1.0}
    task = local_task("maths", "gsm8k", table, 12)
    assert [metric["metric"] for metric in task["metric_list"]] == ["exact_match", "lm_eval_strict", "lm_eval_flexible"]
