"""What planted worlds show: more data helps or does not, votes lift or do not, wrong rows cost or do not."""

from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.headroom.findings import Findings
from nomad_assets_tests.recipe.headroom.worlds import FLAT, RISING, World

MARGIN = 0.05


def findings(world: World, seed: int = 0) -> Findings:
    return Findings(world.scores(seed), MARGIN)


def test_a_rising_curve_is_worth_trying() -> None:
    found = findings(RISING)
    assert found.rise.call == "higher" and found.verdict == "worth trying"
    assert found.rise.right.found.mean == pytest.approx(0.2, abs=0.06)


def test_a_curve_that_has_stopped_rising_is_not() -> None:
    found = findings(FLAT)
    assert found.rise.call == "open" and found.stopped and found.verdict == "do not bother"
    assert found.taught.call == "higher", "training itself works in that world"


def test_a_curve_that_falls_is_not_worth_trying_either() -> None:
    assert findings(replace(RISING, rows=(0.1, 0.3, 0.6, 0.4))).verdict == "do not bother"


def test_noise_that_could_be_a_rise_or_none_cannot_be_told() -> None:
    found = findings(replace(FLAT, luck=0.08, questions=40, clusters=40))
    assert found.rise.right.found.high > MARGIN
    assert found.verdict == "cannot tell"


def test_a_few_replicates_call_a_large_rise_and_never_that_it_has_stopped() -> None:
    assert findings(replace(RISING, replicates=3)).verdict == "worth trying"
    small = replace(RISING, rows=(0.1, 0.3, 0.4, 0.47), luck=0.001, questions=400, clusters=400)
    assert findings(small).verdict == "worth trying"
    few = findings(replace(small, replicates=3))
    assert few.rise.right.found.p < 0.05 and few.verdict == "cannot tell", "seven points are no large effect"
    assert findings(replace(FLAT, replicates=3)).verdict == "cannot tell"


def test_one_replicate_calls_nothing() -> None:
    found = findings(replace(RISING, replicates=1))
    assert found.verdict == "cannot tell" and {wrong.against_right.call for wrong in found.wrong} == {"open"}


def test_questions_of_few_templates_call_nothing() -> None:
    assert findings(replace(RISING, clusters=4)).verdict == "cannot tell"


def test_models_without_a_right_answer_show_no_end_of_a_rise() -> None:
    """All are 0% right, which an interval of width zero would call flat."""
    found = findings(World(rows=(0.0, 0.0, 0.0, 0.0), luck=0.0))
    silent = found.scores.with_columns(value=pl.when(pl.col("metric") == "right").then(0.0).otherwise(pl.col("value")))
    again = Findings(silent, MARGIN)
    assert again.on_the_floor and not again.stopped and again.verdict == "cannot tell"


def test_a_model_that_is_always_right_has_nothing_to_gain() -> None:
    found = findings(World(rows=(0.5, 1.2, 1.2, 1.2), wrong=(1.2, 1.2)))
    assert found.at_ceiling and found.verdict == "do not bother"
    assert not findings(World(rows=(0.5, 1.2, 1.2, 1.2), wrong=(1.2, 1.2), questions=20)).at_ceiling, (
        "twenty questions do not show it"
    )


def test_a_difference_that_no_question_shows_takes_many_questions_to_be_called_flat() -> None:
    same = World(rows=(0.1, 0.5, 0.5, 0.5), wrong=(0.5, 0.5), luck=0.0)

    def stopped(questions: int) -> bool:
        scores = replace(same, questions=questions, clusters=questions).scores()
        half = scores.filter(curve="rows", point=100.0)
        equal = pl.concat(
            [scores.filter(~((pl.col("curve") == "rows") & (pl.col("point") == 200.0))), half.with_columns(point=200.0)]
        )
        return Findings(equal, MARGIN).stopped

    assert stopped(80) and not stopped(40), "what 40 questions never showed may be in 7 of 100"


def test_votes_that_lift_and_votes_that_do_not() -> None:
    lifted = findings(replace(RISING, majority=0.75))
    assert lifted.votes["majority"].call == "higher" and lifted.harvest
    flat = findings(replace(RISING, majority=0.6, any_right=0.62))
    assert flat.votes["majority"].call == "open" and not flat.harvest
    assert flat.votes["single"].call == "open"
    little = findings(replace(RISING, any_right=0.63, luck=0.001, questions=400, clusters=400))
    assert little.votes["any_right"].call == "higher" and not little.harvest, "three points are not worth a program"


def test_wrong_rows_that_cost_and_the_precision_that_pays() -> None:
    found = findings(replace(RISING, wrong=(0.5, 0.25)))
    quarter, half = found.wrong
    assert (quarter.precision, half.precision) == (0.5, 0.0)
    assert [w.against_right.call for w in found.wrong] == ["lower", "lower"]
    assert (quarter.against_fewer.call, half.against_fewer.call) == ("higher", "lower")


def test_two_measures_that_contradict_each_other_call_nothing() -> None:
    scores = RISING.scores()
    other_way = (pl.col("metric") == "answer_logprob") & (pl.col("curve") == "rows") & (pl.col("point") == 200)
    found = Findings(
        scores.with_columns(value=pl.when(other_way).then(pl.col("value") - 1).otherwise(pl.col("value"))), MARGIN
    )
    assert found.rise.call == "open" and found.verdict == "cannot tell"


def test_an_interval_ends_where_scores_do() -> None:
    found = findings(replace(RISING, rows=(0.1, 0.3, 0.4, 0.97), luck=0.3, replicates=2))
    assert found.score(("rows", 200, "right")).high == 1.0 and found.score(("rows", 200, "answer_logprob")).high == 0.0


def test_agreement_says_what_is_kept_and_how_often_it_is_right() -> None:
    scores = RISING.scores()
    kept, right = Findings(scores, MARGIN).agreeing(8)
    agreement = scores.filter(metric="agreement")
    assert kept == pytest.approx(agreement["value"].mean()) and 0.5 < right <= 1


@pytest.mark.parametrize("replicates", [3, 5])
def test_flat_worlds_are_seldom_called_worth_trying(replicates: int) -> None:
    """By chance alone; luck of a run 3 points, 60 dev questions."""
    world = replace(FLAT, luck=0.03, replicates=replicates, questions=60, clusters=60)
    verdicts = [findings(world, seed).verdict for seed in range(30)]
    assert verdicts.count("worth trying") <= 4, verdicts.count("worth trying")
