"""Where the numbers of a calculation come from, which of the prompt's are used, and what the answer rests on."""

from pathlib import Path

import pytest

from nomad_assets.recipe.curation.rules.grounding import (
    PARTS_OF_THE_RULE,
    ungrounded_number,
    unsupported_answer,
    unused_number,
    unused_result,
)
from nomad_assets.recipe.data.sources import read_source

DATA = Path(__file__).parents[3] / "data"
REAL_DATA = Path(__file__).parents[4] / "shared" / "data"
BOWL = "A bowl holds 5 apples, 7 pears and 4 plums. How many fruits are in the bowl?"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        (BOWL, "5 + 7 = 12 fruits.\n12 + 4 = 16 fruits.\n#### 16"),
        (BOWL, "5 + 7 + 4 = 16\n#### 16"),
        (BOWL, "<<5+7=12>>12"),
        (BOWL, "There are many.\n#### 16"),
        ("Which river is longest?", "The Nile"),
        # Words for numbers.
        ("Tom has twenty-five pens and Ann twice as many.", "25 * 2 = 50"),
        ("Tom has two hundred and five pens, and a dozen more.", "205 + 12 = 217"),
        ("Tom has half a dozen eggs and 3 more.", "6 + 3 = 9"),
        ("Tom has 3 dozen eggs.", "3 * 12 = 36\n36 - 36 = 0"),
        ("He eats two-thirds of 60 nuts.", "60 * 2/3 = 40\n60 * 1/3 = 20"),
        # Percent in all its forms, and constants of the units named.
        ("A $50 shirt is 20% off.", "50 * 0.2 = 10\n50 * 20 / 100 = 10\n50 * 0.8 = 40\n50 * 80% = 40"),
        ("How much is 3 weeks of 2 hours?", "3 * 7 = 21\n2 * 60 = 120\n21 / 7 = 3"),
        ("He works 4 hours a day for 2 weeks.", "14 * 4 = 56"),
        ("Ann, Tom and Eve share 12 nuts.", "12 / 3 = 4"),
        ("What is the average of 4, 6 and 8?", "4 + 6 + 8 = 18\n18 / 3 = 6"),
        ("Tom and Ann picked 9 apples each.", "9 * 2 = 18"),
        # A result as a fraction or rounded; a step that is said or rewritten.
        ("A 42 minute walk at 50 km an hour", "42/60 = 7/10\n50 * 7/10 = 35"),
        ("A third of 10 km", "10 / 3 = 3.333\n3.33 * 10 = 33.3"),
        ("Bill has 50 nuts. He eats 2, and half of the rest.", "That leaves 48 nuts. 48 / 2 = 24"),
        ("A $150 bill for two with a 10% tip", "150 / 2 = 75\n75 + 10% of 150 = 75 + 15 = 90"),
    ],
)
def test_a_number_comes_from_the_prompt_or_an_earlier_result(prompt, response):
    assert ungrounded_number(prompt, response) is None


@pytest.mark.parametrize(
    ("prompt", "response", "evidence"),
    [
        (BOWL, "12 - 4 = 8\n#### 8", "12 in 12 - 4 = 8"),
        (BOWL, "5 + 7 = 12\n12 + 6 = 18\n#### 18", "6 in 12 + 6 = 18"),
        (BOWL, "5 + 7 = <<5+7=12>>12\n12 + 6 = <<12+6=18>>18", "6 in 12 + 6 = 18"),
        (BOWL, "5 + 7 + 9 = 21", "9 in 5 + 7 + 9 = 21"),
        (BOWL, "There are 9 pears. 5 + 9 = 14", None),  # 5 + 4, said in words
        (BOWL, "There are 30 pears. 5 + 30 = 35", "30 in 5 + 30 = 35"),
        (BOWL, "16 - 7 = 9\n5 + 7 = 12\n12 + 4 = 16", "16 in 16 - 7 = 9"),
        ("Tom runs 3 laps on Monday and 4 on Friday.", "3 + 7 = 10", "7 in 3 + 7 = 10"),
        ("Tom pays $5 and $4.", "5 + 10 = 15", "10 in 5 + 10 = 15"),
    ],
)
def test_a_number_from_nowhere(prompt, response, evidence):
    assert ungrounded_number(prompt, response) == evidence


@pytest.mark.parametrize(
    ("prompt", "response", "number"),
    [
        (BOWL, "5 + 7 = 12\n#### 12", "4"),
        (BOWL, "5 + 7 = 12\n#### 4", "4"),
        ("A $1,200 bike is 20% off.", "20 / 100 = 0.2", "1200"),
        ("A $1,200 bike is 20% off.", "1200 - 200 = 1000", "20%"),
        (BOWL, "5 + 7 + 4 = 16", None),
        (BOWL, "With the 4 plums: 5 + 7 = 12", None),
        (BOWL, "16", None),
        ("A $1,200 bike is 20% off.", "1,200 * .8 = 960", None),
        ("Tom walks 90 minutes at 4 km an hour.", "1.5 * 4 = 6", None),
        ("A pen is $1.50. How many cents are 2?", "150 * 2 = 300", None),
        ("1 pen costs 3 dollars. How much are two?", "3 * 2 = 6", None),
        ("On the 3rd day, at 7:30, 5 pm or 6 o'clock, he ate 3-5 of 8 nuts.", "8 - 1 = 7", None),
        ("He ate 3/4 of 8 nuts.", "8 - 2 = 6", None),
    ],
)
def test_every_number_of_the_prompt_is_mentioned(prompt, response, number):
    assert unused_number(prompt, response) == number


@pytest.mark.parametrize(
    ("response", "calculation"),
    [
        ("5 + 7 = 12\n5 + 4 = 9\n#### 9", "5 + 7 = 12"),
        ("5 + 7 = 12 fruits.\n7 + 4 = 11 fruits.\n5 + 11 = 16 fruits.\n#### 16", "5 + 7 = 12"),
        ("5 + 7 = 12\n12 + 4 = 16", None),
        ("5 + 7 = 12", None),
        ("5 + 7 = 12\nWith 12 and 4: 16 = 16", None),
        ("5 + 7 = 12 and 4 more = 16", None),
        ("5 + 7 = 5 + 5 + 2 = 12", None),
        ("1 / 5 = 20%\n50 * .2 = 10", None),
        ("10 / 3 = 3.33\n3 * 4 = 12", None),
        ("5 + 7 = 12\nand so x = y", None),
        ("5 + 7 = 12\n4 * 2 = 8\nThe larger one is 12.\n#### 12", None),
        ("", None),
    ],
)
def test_every_result_but_the_last_is_taken(response, calculation):
    assert unused_result(BOWL, response) == calculation


@pytest.mark.parametrize(
    ("response", "evidence"),
    [
        ("12 + 4 = 16\n#### 16", None),
        ("12 + 4 = 16.0\n#### $16.", None),
        ("1200 + 4 = $1204\n#### 1,204", None),
        ("10 / 4 = 2.5\n#### 3", None),
        ("6 / 3 = .5 hours, which are 30 minutes.\n#### 30", None),
        ("She has 16.\n#### 17", None),
        ("12 + 4 = 16", None),
        ("5 + 7 = 12\n12 + 4 = 16\n#### 12", "12 after 12 + 4 = 16"),
        ("12 + 4 = 16\n#### 61", "61 after 12 + 4 = 16"),
        ("12 + 4 = 16\n####", "nothing after 12 + 4 = 16"),
        ("12 + 4 = 16\n#### apples", "apples after 12 + 4 = 16"),
    ],
)
def test_the_answer_is_the_last_result(response, evidence):
    assert unsupported_answer(BOWL, response) == evidence


@pytest.mark.parametrize("side", ["seed", "benchmark"])
def test_no_shipped_word_problem_is_accused(side):
    for row in read_source(str(DATA / side / "word_problems.jsonl")).rows:
        for part in PARTS_OF_THE_RULE.values():
            assert part(row.prompt, row.response) is None, row


@pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"the real data sets are not beside the checkout: no folder {REAL_DATA}"
)
@pytest.mark.parametrize(
    ("part", "most"),
    [(ungrounded_number, 0.04), (unused_number, 0.04), (unused_result, 0.02), (unsupported_answer, 0.01)],
)
def test_right_answers_are_rarely_accused(part, most):
    """GSM8K's worked answers take small steps silently, and leave out what does not matter to the question."""
    rows = read_source(str(REAL_DATA / "gsm8k_train.jsonl")).rows
    accused = [evidence for row in rows if (evidence := part(row.prompt, row.response)) is not None]
    assert len(accused) < most * len(rows), f"{len(accused)} of {len(rows)}, such as {accused[:20]}"
