"""Every reason by a corpus made for it, the order of the rules, the band, and written equations."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nomad_assets.engine.tables import validate
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.curate import KEPT, curate, reason_counts, reason_names
from nomad_assets.recipe.curation.rules.arithmetic import wrong_equation
from nomad_assets.recipe.curation.rules.relevance_band import band_bounds
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.generation.synthesis import COLUMNS
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.synthesis import SyntheticCorpus

REAL_DATA = Path(__file__).parents[4] / "shared" / "data"
LONG = "Tom has {} apples and his sister Anna has many more of them so how many apples do Tom and Anna have together in the end"


def row(number: int, prompt: str, response: str | None = "Lima", **changes) -> dict:
    return {
        "id": f"8/unmasked/{number:06d}-0", "attempt": number, "response_index": 0, "prompt_end": "completed", "response_end": "completed",
        "prompt": prompt, "response": response, "final_answer": response and response.lower(), "agreement": 1.0, "majority_answer": True,
        "prompt_tokens": 3, "response_tokens": 2, "prompt_seed": number, "response_seed": number, **changes,
    }  # fmt: skip


def failed(number: int, end: str) -> dict:
    return row(
        number, "", None, prompt_end=end, response_end="not_attempted", final_answer=None, agreement=None, majority_answer=None,
        response_seed=None, response_tokens=0,
    )  # fmt: skip


def seed_table(*prompts: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"seed{n}" for n in range(len(prompts))], "prompt": prompts}, schema={"id": str, "prompt": str}
    )


AXES = np.eye(4, dtype=np.float32)


def judge(
    rows: list[dict],
    *,
    seeds: tuple[str, ...] = ("an unrelated seed",),
    questions=(),
    cosines: list[float] | None = None,
    **settings,
) -> pl.DataFrame:
    """Curates rows. `cosines` are the completed rows' similarities to the one pool embedding; all 0.5 unless given."""
    corpus = validate(pl.DataFrame(rows, schema=COLUMNS), SyntheticCorpus, "corpus")
    done = corpus.filter(pl.col("response_end") == "completed").height
    cosines = [0.5] * done if cosines is None else cosines
    vectors = np.array([[c, (1 - c * c) ** 0.5, 0, 0] for c in cosines], np.float32).reshape(done, 4)
    settings = Curation(**{"keep": 100, "band": "none", **settings})
    of_seeds = AXES[np.arange(len(seeds)) % 4]
    curated = curate(corpus, seed_table(*seeds), AXES[:1], of_seeds, vectors, list(questions), settings)
    validate(curated, CuratedCorpus, "curated")
    assert curated.select(corpus.columns).equals(corpus)
    return curated


def verdicts(curated: pl.DataFrame) -> list[tuple]:
    return list(curated.select("reason", "evidence", "evidence_similarity").iter_rows())


# One rule at a time.


def test_a_row_without_objection_is_kept():
    curated = judge([row(0, "Who wrote Faust?")])
    assert verdicts(curated) == [(KEPT, None, None)]
    assert curated["verdict"].to_list() == ["kept"]


@pytest.mark.parametrize("end", ["length", "empty", "malformed"])
def test_not_completed_says_which_turn_and_how(end):
    curated = judge([failed(0, end), row(1, "Who?", "x", response_end=end)])
    assert verdicts(curated) == [("not_completed", f"prompt: {end}", None), ("not_completed", f"response: {end}", None)]
    assert (
        curated.select("normsim_2", "normsim_inf", "novelty", "seed_similarity", "nearest_seed").null_count().row(0)
        == (2,) * 5
    )


def test_minority_answer():
    rows = [
        row(0, "Who?", "b", agreement=2 / 3, majority_answer=False, final_answer="b"),
        row(1, "What?", "a", agreement=2 / 3),
    ]
    assert verdicts(judge(rows)) == [("minority_answer", "b", 2 / 3), (KEPT, None, None)]


def test_low_agreement_starts_below_the_setting():
    rows = [row(0, "Who?", agreement=0.5), row(1, "What?", agreement=0.49)]
    unknown = row(0, "Who?", "b", agreement=None, majority_answer=None)
    assert verdicts(judge([unknown])) == [(KEPT, None, None)], "where sampling stopped at a right one"
    assert verdicts(judge(rows, min_agreement=0.5)) == [(KEPT, None, None), ("low_agreement", "lima", 0.49)]
    assert reason_counts(judge(rows)) == {KEPT: 2}


def test_wrong_arithmetic_only_when_asked_for():
    rows = [row(0, "How many?", "6 + 3 = 9, and 9 - 4 = 6."), row(1, "And now?", "6 + 3 = 9")]
    assert verdicts(judge(rows, check_arithmetic=True)) == [("wrong_arithmetic", "9 - 4 = 6", None), (KEPT, None, None)]
    assert reason_counts(judge(rows)) == {KEPT: 2}


def test_an_echo_only_when_asked_for():
    rows = [row(0, "#### 327", "327"), row(1, "Who is older, Tom or Ann?", "Ann")]
    assert verdicts(judge(rows, drop_echoes=True)) == [("echo", None, None), (KEPT, None, None)]
    assert reason_counts(judge(rows)) == {KEPT: 2}


BOWL = "A bowl holds 5 apples, 7 pears and 4 plums. How many fruits are in the bowl?"


def test_a_calculation_from_nowhere_only_when_asked_for():
    rows = [
        row(0, BOWL, "12 - 4 = 8 fruits.\n#### 8"),
        row(1, f"{BOWL} Count.", "5 + 7 = 12 fruits.\n#### 12"),
        row(2, f"{BOWL} Again.", "5 + 7 = 12 fruits.\n12 + 4 = 16 fruits.\n#### 12"),
        row(3, f"{BOWL} Now!", "5 + 7 = 12 fruits.\n12 + 4 = 16 fruits.\n#### 16"),
        row(4, f"{BOWL} Go!", "5 + 7 = 12 fruits.\n5 + 4 = 9 fruits.\n#### 9"),
        row(5, "Which of 2 rivers is longer?", "The Nile"),
    ]
    assert verdicts(judge(rows, check_grounding=True, near_repeat=1.0)) == [
        ("ungrounded_number", "12 in 12 - 4 = 8", None),
        ("unused_number", "4", None),
        ("unsupported_answer", "12 after 12 + 4 = 16", None),
        (KEPT, None, None),
        ("unused_result", "5 + 7 = 12", None),
        (KEPT, None, None),
    ]
    assert reason_counts(judge(rows, near_repeat=1.0)) == {KEPT: 6}


@pytest.mark.parametrize(
    ("prompt", "fault"),
    [
        ("#### 80.", "it holds ####"),
        ("Tom has 3 pens. How many?\n#### 3", "it holds ####"),
        ("12 + 5 = ?", "it has no word"),
        ("3 x 4?", "it has no word"),
        ("What is 12 + 5?", None),
        ("法国的首都是哪里?", None),
        ("Où ?", None),
    ],
)
def test_a_prompt_that_is_no_question_only_when_asked_for(prompt, fault):
    expected = ("not_a_question", fault, None) if fault else (KEPT, None, None)
    assert verdicts(judge([row(0, prompt)], drop_non_questions=True)) == [expected]
    assert reason_counts(judge([row(0, prompt)])) == {KEPT: 1}


def test_exact_repeat_names_the_first_row():
    rows = [row(0, "Who wrote Faust?"), row(1, "who wrote FAUST"), row(2, "Who wrote Faust?", "other")]
    twin = ("exact_repeat", "8/unmasked/000000-0", 1.0)
    assert verdicts(judge(rows)) == [(KEPT, None, None), twin, twin]
    assert verdicts(judge(rows, near_repeat=1.0))[1] == twin, "1 turns the near search off, not this"


def test_near_repeat_names_twin_and_similarity():
    """26 words are 24 shingles; another number touches 3 of them: 21 shared of 27."""
    rows = [row(0, LONG.format(3)), row(1, LONG.format(5))]
    assert verdicts(judge(rows, near_repeat=0.7)) == [
        (KEPT, None, None),
        ("near_repeat", "8/unmasked/000000-0", 21 / 27),
    ]
    assert reason_counts(judge(rows, near_repeat=0.8)) == {KEPT: 2}
    assert reason_counts(judge(rows, near_repeat=1.0)) == {KEPT: 2}


def test_seed_copies():
    seeds = ("Who wrote Faust?", LONG.format(3))
    rows = [row(0, "who wrote faust"), row(1, LONG.format(5))]
    assert verdicts(judge(rows, seeds=seeds, seed_copy=0.7)) == [
        ("seed_copy", "seed0", 1.0),
        ("near_seed_copy", "seed1", 21 / 27),
    ]
    assert verdicts(judge(rows, seeds=seeds, seed_copy=1.0)) == [("seed_copy", "seed0", 1.0), (KEPT, None, None)]


def test_contaminated_names_the_question():
    question = "What is the capital of Peru?"
    rows = [row(0, question, "Quito"), row(1, f"Tell me. {question}", "Lima"), row(2, "Is Lima big?", "Lima")]
    curated = judge(rows, questions=[("trivia-1", question, ["Lima"])])
    found = ("contaminated", f"trivia-1: {question}", 1.0)
    assert verdicts(curated) == [found, found, (KEPT, None, None)]


PROMPTS = ["one", "two", "three", "four", "five"]
COSINES = [0.5, 0.1, 0.9, 0.3, 0.7]


@pytest.mark.parametrize(
    ("band", "quantiles", "kept", "bounds"),
    [
        ("none", (0.25, 0.75), [0.5, 0.1, 0.9, 0.3, 0.7], None),
        ("low", (0.25, 0.75), [0.1, 0.3], "0.0000 to 0.3000"),
        ("middle", (0.25, 0.75), [0.5, 0.3, 0.7], "0.3000 to 0.7000"),
        ("high", (0.25, 0.75), [0.9, 0.7], "0.7000 to 1.0000"),
        ("middle", (0.5, 1.0), [0.5, 0.9, 0.7], "0.5000 to 0.9000"),
        ("middle", (0.0, 1.0), [0.5, 0.1, 0.9, 0.3, 0.7], None),
    ],
)
def test_the_band(band, quantiles, kept, bounds):
    """Five rows: the quantiles 0, 1/4, 1/2, 3/4, 1 are the sorted values themselves."""
    curated = judge([row(n, p) for n, p in enumerate(PROMPTS)], cosines=COSINES, band=band, band_quantiles=quantiles)
    inside = curated.filter(pl.col("verdict") == "kept")["normsim_2"].to_list()
    assert inside == pytest.approx(kept, abs=1e-6)
    for cosine, (reason, evidence, similarity) in zip(COSINES, verdicts(curated), strict=True):
        if cosine not in kept:
            assert (reason, evidence) == ("outside_band", bounds)
            assert similarity == pytest.approx(cosine, abs=1e-6)


def test_the_band_is_cut_from_rows_without_objection():
    """A repeat with the highest NormSim moves no bound."""
    rows = [*(row(n, p) for n, p in enumerate(PROMPTS)), row(5, "one")]
    settings = {"band": "middle", "band_quantiles": (0.25, 0.75)}
    with_repeat = judge(rows, cosines=[*COSINES, 1.0], **settings)
    assert with_repeat["reason"].to_list()[:5] == judge(rows[:5], cosines=COSINES, **settings)["reason"].to_list()
    assert with_repeat["reason"].to_list()[5] == "exact_repeat"


def test_the_band_of_the_other_norm():
    """Two pool texts. Row a is near both (2-norm high, maximum low), row b equals one (the other way round)."""
    pool = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    vectors = np.array([[0.7, 0.7, 0.14**0.5, 0], [0.9, 0, 0.19**0.5, 0]], np.float32)
    corpus = pl.DataFrame([row(0, "a"), row(1, "b")], schema=COLUMNS)
    for norm, kept in (("2", "a"), ("inf", "b")):
        settings = Curation(keep=9, band="high", norm=norm, band_quantiles=(0.1, 0.9))
        curated = curate(corpus, seed_table("s"), pool, pool[:1], vectors, [], settings)
        assert curated.filter(pl.col("verdict") == "kept")["prompt"].to_list() == [kept]
    assert curated["normsim_2"].to_list() == pytest.approx([0.7, (0.81 / 2) ** 0.5], abs=1e-6)
    assert curated["normsim_inf"].to_list() == pytest.approx([0.7, 0.9], abs=1e-6)


def test_band_bounds_of_nothing():
    assert band_bounds(np.array([]), Curation(keep=1)) == (0.0, 1.0)
    assert band_bounds(np.array([0.4]), Curation(keep=1)) == (0.4, 0.4)


def test_over_target_takes_rows_in_the_order_they_were_written():
    curated = judge([row(n, p) for n, p in enumerate(PROMPTS)], keep=3)
    assert verdicts(curated) == [(KEPT, None, None)] * 3 + [("over_target", "3 rows are kept", None)] * 2


def test_novelty_is_the_distance_to_the_nearest_own_seed():
    seeds = ("first", "second", "third")
    curated = judge([row(0, "a"), row(1, "b")], seeds=seeds, cosines=[0.8, 0.6])
    assert curated["nearest_seed"].to_list() == ["seed0", "seed1"]
    assert curated["seed_similarity"].to_list() == pytest.approx([0.8, 0.8], abs=1e-6)
    assert curated["novelty"].to_list() == pytest.approx([0.2, 0.2], abs=1e-6)


# Order of the rules.


def test_the_first_rule_that_a_row_breaks_is_its_reason():
    question = "What is the capital of Peru?"
    everything = {"agreement": 0.2, "majority_answer": False}
    rows = [
        row(0, question, "1 + 1 = 3"),
        row(1, question, "1 + 1 = 3", **everything, response_end="length"),
        row(2, question, "1 + 1 = 3", **everything),
        row(3, question, "1 + 1 = 3", agreement=0.2),
        row(4, question, "1 + 1 = 2"),
        row(5, question, "1 + 1 = 2"),
        row(6, f"Tell me quickly now: {question}", "Lima"),
    ]
    curated = judge(
        rows,
        seeds=(question,),
        questions=[("q", question, ["Lima"])],
        min_agreement=0.5,
        check_arithmetic=True,
        band="low",
        keep=1,
    )
    assert curated["reason"].to_list() == [
        "wrong_arithmetic", "not_completed", "minority_answer", "low_agreement", "seed_copy", "exact_repeat", "contaminated",
    ]  # fmt: skip


def test_a_row_that_was_dropped_before_the_repeats_is_no_twin():
    rows = [row(0, "Who wrote Faust?", "1 + 1 = 3"), row(1, "Who wrote Faust?", "Goethe")]
    assert judge(rows, check_arithmetic=True)["reason"].to_list() == ["wrong_arithmetic", KEPT]


def test_a_repeat_of_a_seed_copy_is_a_repeat():
    rows = [row(0, "Who wrote Faust?"), row(1, "Who wrote Faust?")]
    assert judge(rows, seeds=("Who wrote Faust?",))["reason"].to_list() == ["seed_copy", "exact_repeat"]


def test_counts_come_in_the_order_of_the_rules():
    rows = [row(0, "a"), row(1, "a"), failed(2, "length"), row(3, "b"), failed(4, "length")]
    counts = reason_counts(judge(rows))
    assert list(counts.items()) == [(KEPT, 2), ("not_completed", 2), ("exact_repeat", 1)]
    assert [KEPT, *reason_names()][:2] == [KEPT, "not_completed"]


# Corpora with nothing in them.


@pytest.mark.parametrize("band", ["none", "low", "middle", "high"])
def test_no_completed_row(band):
    curated = judge([failed(0, "length"), failed(1, "empty")], band=band)
    assert curated["verdict"].to_list() == ["dropped", "dropped"]
    assert curated["normsim_2"].to_list() == [None, None]


def test_no_row_at_all():
    assert judge([]).height == 0


# Written equations.


@pytest.mark.parametrize(
    "text",
    [
        "", "no equation", "6 + 3 = 9", "6+3=9", "9 - 4 = 5", "3 - 5 = -2", "-3 + 5 = 2", "2 * -3 = -6", "7 / 2 = 3.5", "6 / 3 = 2",
        "3 x 4 = 12", "3x4=12", "3 × 4 = 12", "12 ÷ 4 = 3", "1,000 + 1 = 1,001", "$5 * 3 = $15", "$1.50 * 4 = $6.00", "€2 + €3 = €5",
        # Decimals that are right to the digits written, rounded or cut off.
        "10 / 3 = 3.33", "2 / 3 = 0.67", "2 / 3 = 0.66", "1 / 3 = .33", "10 - 2.5 = 7.50",
        # Percent.
        "50% + 20% = 70%", "200 * 10% = 20", "10% * 200 = 20", "$1000 * 15% = $150", "100% - 40% = 60%",
        # Chains say nothing about their tails.
        "2 + 3 + 4 = 9", "2 * 3 + 4 = 10", "10-3+5=12", "10 - 3 + 5 = 12", "24-1-3=20", "960-480-120 = 360", "(2 + 3) * 4 = 20", "1/2 * 4 = 2",
        "2 + 3 = 5 + 1 = 6", "2 + 3 +\n4 = 9", "2^3 - 1 = 7", "3x4 + 1 = 13", "1.5-0.5+3=4",
        # Algebra is not arithmetic.
        "2x + 3 = 7", "3x-5=16", "x - 3 = 4", "10x - 5 = 75", "100/5 = 5A/5", "3*30 = 30 + M trees", "22 - 16 = 16 + x - 16", "8/3 = 24/Y",
        # The result goes on, or is of another unit.
        "4 / 3 = 1 and 1/3", "100 / 6= 16 and (2/3)", "12 x 1 and 1/4 = 15", "600 x 30 = 18 000", "6:00+48=6:48", "$1 / 2 = 50 cents",
        "45 * 0,2 = 9",
        # More digits than Python reads.
        "9" * 5000 + " + 1 = 2", "1 + 1 = " + "9" * 5000,
        # Decimals without a leading zero, and mixed numbers.
        ".5*10=5", "$.50 * 2 = $1", ".85*30 = $25.50", "1 1/2 = 1.5", "8 x 1 1/2 = 12",
        # Ends of sentences, several equations, other lines.
        "So 2 + 2 = 4.", "2 + 2 = 4, 3 + 3 = 6", "2 + 2 = 4\n3 + 3 = 6\n#### 6", "2 + 2 =\n4", "5 - 3 = 2 - and that is all",
    ],
)  # fmt: skip
def test_right_or_unreadable_equations(text):
    assert wrong_equation(text) is None


@pytest.mark.parametrize(
    ("text", "equation"),
    [
        ("6 + 3 = 8", "6 + 3 = 8"),
        ("6 + 3 = 9 apples. 9 - 4 = 6 left.", "9 - 4 = 6"),
        ("9 - 4 = 13", "9 - 4 = 13"),
        ("3 x 4 = 7", "3 x 4 = 7"),
        ("3×4=7", "3×4=7"),
        ("12 ÷ 4 = 4", "12 ÷ 4 = 4"),
        ("7 / 2 = 3", "7 / 2 = 3"),
        ("10 / 3 = 3.44", "10 / 3 = 3.44"),
        ("10 / 3 = 3.2", "10 / 3 = 3.2"),
        ("$5 * 3 = $16", "$5 * 3 = $16"),
        ("1,000 * 3 = 300", "1,000 * 3 = 300"),
        ("50% + 20% = 80%", "50% + 20% = 80%"),
        ("200 * 10% = 30", "200 * 10% = 30"),
        ("7 / 0 = 0", "7 / 0 = 0"),
        ("7 ÷ 0 = 7", "7 ÷ 0 = 7"),
        ("2 + 2 = 4.5", "2 + 2 = 4.5"),
        ("Total:\n2 + 2 = 5\n#### 5", "2 + 2 = 5"),
        ("2 + 2\n= 5", "2 + 2\n= 5"),
        ("2 + 3 = 5 + 1 = 7", "5 + 1 = 7"),
        ("3 - 5 = 2", "3 - 5 = 2"),
        ("25 + 25 = 60 cents", "25 + 25 = 60"),
        ("2 + 2 = 5 and 3 more", "2 + 2 = 5"),
        ("1,248 + 2 = 1,251", "1,248 + 2 = 1,251"),
    ],
)
def test_wrong_equations(text, equation):
    assert wrong_equation(text) == equation


@pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"the real data sets are not beside the checkout: no folder {REAL_DATA}"
)
def test_right_answers_are_rarely_accused():
    """The worked answers of GSM8K hold a few true slips; more than 1 in 100 accused means that the reading is wrong."""
    rows = read_source(str(REAL_DATA / "gsm8k_train.jsonl")).rows
    accused = [equation for row in rows if (equation := wrong_equation(row.response))]
    assert len(accused) < 0.01 * len(rows), f"{len(accused)} of {len(rows)}, such as {accused[:20]}"
