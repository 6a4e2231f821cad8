"""Signs of error: found whatever the profile switches on, in every rule that says it looks for them."""

import polars as pl
import pytest

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation import rules
from nomad_assets.recipe.curation.rule import Rule
from nomad_assets.recipe.curation.signs import signs_of_error, switches

BOWL = "A bowl holds 5 apples, 7 pears and 4 plums. How many fruits are in the bowl?"
ROWS = {
    (BOWL, "5 + 7 = 12\n12 + 4 = 16\n#### 16"): None,
    (BOWL, "5 + 7 = 13\n13 + 4 = 17\n#### 17"): "wrong_arithmetic",
    (BOWL, "12 - 4 = 8\n#### 8"): "ungrounded_number",
    ("#### 327", "327"): "not_a_question",
    ("Who wrote Emma?", "Jane Eyre"): None,
}


def rows(*texts: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(texts), schema={"prompt": str, "response": str}, orient="row")


def test_each_row_has_the_sign_that_its_rule_finds():
    found = signs_of_error(rows(*ROWS))
    assert [sign and sign.reason for sign in found] == list(ROWS.values())
    assert found[1].evidence == "5 + 7 = 13"


def test_no_row_has_no_sign():
    assert signs_of_error(rows()) == []


def test_the_rules_that_judge_a_response_or_a_prompt_by_itself_look_for_errors():
    assert list(switches()) == ["check_arithmetic", "drop_non_questions", "check_grounding"]


def test_a_rule_without_one_switch_is_refused(monkeypatch):
    class Unswitched(Rule):
        looks_for_errors = True

        class Settings(Section):
            most: int = 3

    monkeypatch.setattr(rules, "all_rules", lambda: {"unswitched": Unswitched})
    with pytest.raises(TypeError, match="rule unswitched: it looks for errors and has 0 switches"):
        switches()
