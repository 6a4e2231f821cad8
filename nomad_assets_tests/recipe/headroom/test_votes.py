"""Sampled answers put to the vote, by hand and with a model."""

from pathlib import Path

import polars as pl
import pytest

from nomad_assets.recipe.headroom.votes import sample_answers, vote


def test_the_worked_example() -> None:
    answers = ["3 + 4 = 7\n#### 7", "#### 7", "#### 9", "#### 12"]
    found = vote(answers, [0.0, 0.0, 1.0, 0.0])
    assert found == {"majority": 0.0, "any_right": 1.0, "single": 0.25, "agreement": 0.5}


def test_of_answers_with_equally_many_votes_one_is_drawn() -> None:
    assert vote(["The Nile", "the  nile", "Po", "po"], [1.0, 1.0, 0.0, 0.0])["majority"] == 0.5


def test_a_text_in_other_cases_and_spaces_is_the_same_vote() -> None:
    assert vote(["The Nile", " the  nile", "Po"], [1.0, 1.0, 0.0]) == pytest.approx(
        {"majority": 1.0, "any_right": 1.0, "single": 2 / 3, "agreement": 2 / 3}
    )


def test_each_question_gets_its_answers_in_the_order_of_the_questions(tiny_model: Path) -> None:
    questions = pl.DataFrame(
        {"id": ["b1", "a1", "b2"], "benchmark": ["b", "a", "b"], "question": ["Who?", "Where?", "Why?"]}
    )
    options = {"answers": 3, "temperature": 1.0, "batch_size": 4, "precision": "fp32", "seed": 1}
    found = sample_answers(tiny_model, questions, {"a": 2, "b": 5}, **options)
    assert [len(answers) for answers in found] == [3, 3, 3]
    assert len(set(map(tuple, found))) == 3
    alone = sample_answers(tiny_model, questions.filter(id="b2"), {"b": 5}, **options)
    assert alone == [found[2]], "a question's answers hang on its own seed, not on what else is asked"
