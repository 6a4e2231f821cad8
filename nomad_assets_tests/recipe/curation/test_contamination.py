"""The contamination rule at its borders."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.recipe.curation.contamination import ContaminationIndex, Overlap, tokens

REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


def words(start: int, stop: int, prefix: str = "w") -> str:
    return " ".join(f"{prefix}{n}" for n in range(start, stop))


def find(question: str, prompt: str, response: str = "", answers: tuple[str, ...] = ()) -> float | None:
    """The share of the question that the prompt contains, or None where the row is innocent."""
    overlap = ContaminationIndex([("q", question, list(answers))]).find(prompt, response)
    if overlap is not None:
        assert (overlap.question_id, overlap.question) == ("q", question)
    return None if overlap is None else overlap.share


# Tokens.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Who's there?", ["who", "s", "there"]),
        ("ＦＵＬＬ width, STRASSE straße", ["full", "width", "strasse", "strasse"]),
        ("snake_case", ["snake", "case"]),
        ("What is 2 + 3?", ["what", "is", "2", "+", "3"]),
        ("What is 2 - 3?", ["what", "is", "2", "-", "3"]),
        ("2+3*(4/5)^2 = 6", ["2", "+", "3", "*", "4", "/", "5", "^", "2", "=", "6"]),
        ("6 × 3 and 6 ÷ 3", ["6", "×", "3", "and", "6", "÷", "3"]),
        ("6 − 3", ["6", "−", "3"]),
        ("a well-known 50-50 chance", ["a", "well", "known", "50", "-", "50", "chance"]),
        ("wait -- what?", ["wait", "what"]),
        ("...", []),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


# Rule 1: equal.


def test_equal_up_to_case_and_punctuation():
    assert find("What is the capital of Peru?", "what is the CAPITAL of Peru") == 1.0
    assert find("Peru?", "peru") == 1.0


def test_another_number_or_operator_is_another_question():
    assert find("What is 2 + 3?", "What is 2 - 3?") is None
    assert find("What is 2 + 3?", "What is 2 + 4?") is None


# Rule 2: more than half of the tokens in shared 8-grams.


def test_exactly_half_is_innocent_and_just_over_is_not():
    question = words(0, 16)
    assert find(question, f"{words(0, 8)} x y z") is None
    assert find(question, f"x {words(0, 9)} y") == 9 / 16
    assert find(words(0, 15), f"x {words(0, 8)} y") == 8 / 15
    assert find(words(0, 17), f"x {words(0, 8)} y") is None


def test_the_worked_example():
    """8-grams at tokens 0 and 1 cover 9 of 12 tokens."""
    assert find(words(0, 12), f"x {words(0, 9)} y") == 0.75


def test_seven_tokens_in_a_row_are_no_evidence():
    question = words(0, 14)
    assert find(question, f"{words(0, 7)} x {words(7, 14)}") is None


def test_pieces_add_up_and_overlaps_count_once():
    question = words(0, 32)
    assert find(question, f"{words(0, 8)} x {words(20, 28)}") is None
    assert find(question, f"{words(0, 8)} x {words(20, 29)}") == 17 / 32
    assert find(question, f"{words(0, 8)} x {words(0, 8)} y {words(0, 8)}") is None


def test_the_order_of_words_counts():
    question = words(0, 16)
    assert find(question, " ".join(question.split()[::-1])) is None


def test_a_question_inside_a_longer_prompt():
    assert find(words(0, 20), f"Answer briefly. {words(0, 20)} Think first.") == 1.0


# An instruction that three questions share is nobody's own.

TASK = "Classify the sentiment of the following review as positive or negative:"
REVIEWS = [
    "I loved the long walk through the old town and the tiny rooms.",
    "The soup was cold, the waiter was rude, and nobody said sorry.",
    "Great film!",
]


def shared(prompt: str, response: str = "positive") -> Overlap | None:
    answers = ("positive", "negative", "positive")
    questions = [(str(n), f"{TASK} {review}", [answers[n]]) for n, review in enumerate(REVIEWS)]
    return ContaminationIndex(questions).find(prompt, response)


def test_a_shared_instruction_is_no_evidence():
    assert shared(f"{TASK} We stayed for a week and would come again at once.") is None
    assert shared(f"{TASK} Great food, and I loved the long walk home.") is None
    one = ContaminationIndex([("0", f"{TASK} {REVIEWS[2]}", ["positive"])])
    assert one.find(f"{TASK} We stayed for a week.") is not None, "a single question is compared as a whole"


def test_behind_a_shared_instruction_the_rest_decides():
    for number, review in enumerate(REVIEWS):
        assert shared(f"{TASK} {review}") == Overlap(str(number), f"{TASK} {review}", 1.0)
    assert shared("I loved the long walk through the old town, and the rooms.").share == 11 / 13
    assert shared(f"Now, {TASK} {REVIEWS[2]} And say why.").share == 1.0
    assert shared(f"{TASK} Great soup, bad film!") is None, "of two own words both must be there"


def test_few_own_words_count_with_their_answer_alone():
    words_to_translate = ["dog", "ice cream", "the red car"]
    task = "Translate the following English word or phrase into French and give only the translation:"
    answers = ["chien", "glace", "la voiture rouge"]
    index = ContaminationIndex([(str(n), f"{task} {text}", [answers[n]]) for n, text in enumerate(words_to_translate)])
    assert index.find(f"{task} dog house", "niche") is None
    assert index.find(f"{task} dog please", "chien").question_id == "0"


def test_questions_made_of_shared_parts_alone_are_compared_as_a_whole():
    parts = [words(0, 8), words(10, 18), words(20, 28)]
    questions = [f"{a} {b}" for a in parts for b in parts if a != b]
    index = ContaminationIndex([(str(n), question, [f"a{n}"]) for n, question in enumerate(questions)])
    assert index.find(f"x {questions[0]} y", "a0").question_id == "0"
    assert index.find(f"x {questions[0]} y", "other") is None
    assert index.find(questions[3].upper()).question_id == "3"


def test_a_template_with_other_numbers_is_held_word_for_word():
    import itertools

    template = (
        "{} walks to the weekly market with an empty basket and carefully puts exactly {} fresh {} into it. How many?"
    )
    filled = list(itertools.product(("Tom", "Ann", "Noah"), (3, 4, 5), ("apples", "pears", "plums")))
    index = ContaminationIndex([(f"b-{n}", template.format(*f), [str(f[1])]) for n, f in enumerate(filled)])
    for number, values in enumerate(filled):
        assert index.find(f"{template.format(*values)} Explain.", str(values[1])).question_id == f"b-{number}"
    assert index.find(template.format("Omar", 9, "nuts"), "9") is None


def test_one_question_in_several_wordings_is_shared_with_nobody():
    question = (
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many?"
    )
    suffixes = ("Be brief.", "Think first.", "Give a number.")
    formats = [(f"own-{n}", f"{question} {suffix}", ["72"]) for n, suffix in enumerate(suffixes)]
    for index in (ContaminationIndex(formats), ContaminationIndex([("gsm-0", question, ["72"]), *formats])):
        assert index.find(f"{question} Explain.", "18") is not None
    answers = [(qid, text, [qid]) for qid, text, _ in formats]
    other = ContaminationIndex([("gsm-0", question, ["72"]), *answers])
    assert other.find(f"{question} Explain.", "18").question_id == "gsm-0", "common in another benchmark alone"


def test_what_three_questions_share_is_no_evidence_and_what_two_share_is():
    passage = words(0, 40)
    questions = [(f"reading-{n}", f"{passage} what is the big thing number {n} made of", [str(n)]) for n in range(3)]
    asked = f"{passage} who bought the blue one"
    assert ContaminationIndex(questions[:2]).find(asked).question_id == "reading-0"
    assert ContaminationIndex(questions).find(asked) is None


def test_a_question_that_is_asked_three_times_is_one():
    index = ContaminationIndex([(str(n), words(0, 16), []) for n in range(3)])
    assert index.find(f"x {words(0, 12)} y").share == 12 / 16


# Rule 3: short questions, word for word, with an accepted answer.


def test_a_question_of_12_tokens_is_short_and_one_of_13_is_not():
    """Twelve tokens: the row holds it in full with its answer. A change at token 7 keeps rule 2 out of it."""
    for count, expected in ((12, 1.0), (13, None)):
        question = words(0, count)
        broken = question.split()
        assert find(question, f"x {question} y", "the answer is lima", ("Lima",)) == 1.0, "in full, rule 2 or 3"
        broken.insert(7, "z")
        assert find(question, " ".join(broken), "lima", ("Lima",)) is None
        # Only rule 3 can see a question of up to seven tokens; here rule 2 is kept out by length.
        assert (ContaminationIndex([("q", question, ["Lima"])]).whole != {}) is (expected is not None)


def test_a_question_of_eight_tokens_needs_no_answer_and_one_of_seven_does():
    assert find(words(0, 8), f"x {words(0, 8)} y") == 1.0
    assert find(words(0, 7), f"x {words(0, 7)} y", "quito", ("Lima",)) is None
    assert find(words(0, 7), f"x {words(0, 7)} y", "lima", ("Lima",)) == 1.0


SHORT = "What is the capital of Peru?"


def test_a_short_question_needs_its_answer_too():
    assert find(SHORT, f"Tell me: {SHORT} I forgot.", "Lima", ("Lima",)) == 1.0
    assert find(SHORT, f"Tell me: {SHORT} It is Lima.", "Yes", ("Lima",)) == 1.0
    assert find(SHORT, f"Tell me: {SHORT} I forgot.", "Quito", ("Lima",)) is None
    assert find(SHORT, f"Tell me: {SHORT} I forgot.", "", ()) is None


def test_any_alias_counts_and_only_as_whole_words():
    assert find(SHORT, f"Tell me: {SHORT}!", "City of Kings it is", ("Lima", "City of Kings")) == 1.0
    assert find(SHORT, f"Tell me: {SHORT}!", "Limassol", ("Lima",)) is None
    assert find(SHORT, f"Tell me: {SHORT}!", "anything", ("", "?")) is None


def test_an_answer_alone_never_counts():
    assert find(SHORT, "Where does paddington bear come from?", "Lima, Peru", ("Lima", "Peru")) is None
    assert find("Lima", "Is Lima far?", "Lima", ("Lima",)) == 1.0, "here the question itself is the one word"


def test_a_question_of_one_word():
    assert find("Capital?", "So, capital of Peru", "Lima", ("Lima",)) == 1.0
    assert find("Capital?", "So, capital of Peru", "Quito", ("Lima",)) is None


def test_an_innocent_row_and_an_empty_benchmark():
    assert ContaminationIndex([]).find("Who?", "Me") is None
    assert find(SHORT, "", "") is None
    assert find("...", "Who?", "Me", ("Me",)) is None


def test_the_first_question_is_named():
    index = ContaminationIndex([("one", SHORT, ["Lima"]), ("two", SHORT, ["Lima"])])
    assert index.find(SHORT, "x") == Overlap("one", SHORT, 1.0)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.lists(st.sampled_from("abcdefgh"), max_size=40)
)
def test_rule_2_is_what_a_slow_count_says(question, prompt):
    grams = {tuple(prompt[i : i + 8]) for i in range(len(prompt) - 7)}
    covered = {p for i in range(len(question) - 7) if tuple(question[i : i + 8]) in grams for p in range(i, i + 8)}
    share = len(covered) / len(question)
    expected = 1.0 if question == prompt else share if share > 0.5 else None
    assert find(" ".join(question), " ".join(prompt)) == expected


@pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"the real data sets are not beside the checkout: no folder {REAL_DATA}"
)
def test_few_questions_of_gsm8k_are_in_its_training_set():
    """The rule flags 3 of 1,319 questions by 8-gram coverage over one half; exact repeats may add a few."""

    def rows(name: str) -> list[dict]:
        return [
            json.loads(line) for line in (REAL_DATA / f"gsm8k_{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]

    index = ContaminationIndex(
        [(str(n), row["question"], [row["answer"].rpartition("#### ")[2]]) for n, row in enumerate(rows("test"))]
    )
    flagged = {overlap.question_id for row in rows("train") if (overlap := index.find(row["question"], row["answer"]))}
    assert 1 <= len(flagged) <= 8, sorted(flagged)
