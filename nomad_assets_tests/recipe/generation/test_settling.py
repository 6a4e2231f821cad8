"""Sampling that stops early against all samples: the same verdicts, and no sample fewer would do."""

import itertools

import polars as pl
import pytest

from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.rule import CorpusRows
from nomad_assets.recipe.curation.rules.agreement import Agreement
from nomad_assets.recipe.generation.settling import fewest_more, is_settled, majority
from nomad_assets.recipe.generation.synthesis import COLUMNS

SHARES = (0.0, 0.2, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.9, 1.0)


def sampled(answers: list, count: int, share: float | None) -> list:
    """The first of `answers`, as many as are asked for."""
    made: list = []
    while more := fewest_more(made, count, share):
        made += answers[len(made) : len(made) + more]
    return made


def kept(groups: list[list], count: int, share: float) -> list[list[bool]]:
    """Whether curation's own rules keep each row, by prompt."""
    rows = []
    for number, answers in enumerate(groups):
        top, votes = majority(answers)
        rows += [
            {"attempt": number, "final_answer": answer, "response_end": "length" if answer is None else "completed",
             "agreement": votes / count if votes else None, "majority_answer": answer == top if votes else None}
            for answer in answers
        ]  # fmt: skip
    settings = Curation(keep=1, min_agreement=share)
    table = pl.DataFrame(rows, schema={name: COLUMNS[name] for name in rows[0]})
    rule = Agreement(settings, CorpusRows(table, pl.DataFrame(), [], {}))
    suspects, found = rule.suspects(), iter(range(table.height))
    return [
        [answer is not None and not (suspects[row] and rule.verdict(row)) for answer, row in zip(answers, found)]  # noqa: B905
        for answers in groups
    ]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_row_is_kept_or_dropped_as_if_all_had_been_sampled(count: int, share: float) -> None:
    every = [list(answers) for answers in itertools.product(("a", "b", "c", None), repeat=count)]
    few = [sampled(answers, count, share) for answers in every]
    for answers, some, whole, part in zip(every, few, kept(every, count, share), kept(few, count, share), strict=True):
        assert part == whole[: len(some)], (answers, some)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_no_prompt_is_sampled_on_whose_verdict_is_known_and_none_stops_before(count: int, share: float) -> None:
    """By brute force over everything that the other responses may say."""

    def outcome(answers: tuple) -> tuple:
        top, votes = majority(answers)
        return (top if votes and votes / count >= share else None,)

    for length in range(count + 1):
        for answers in itertools.product(("a", "b", None), repeat=length):
            rest = itertools.product(("a", "b", "new", "newer", None), repeat=count - length)
            certain = len({outcome((*answers, *others)) for others in rest}) == 1
            assert is_settled(answers, count, share) == (certain or length == count), (answers, count, share)


def test_as_many_are_asked_for_as_may_settle_it() -> None:
    assert fewest_more([], 4, None) == 4
    assert fewest_more([], 4, 0.75) == 2, "two that do not end leave two, which are no three"
    assert fewest_more(["7", "7"], 4, 0.75) == 1
    assert fewest_more(["7", "7", "7"], 4, 0.75) == 0
    assert fewest_more(["7", "8"], 4, 0.75) == 1
    assert fewest_more(["7", "8", None], 4, 0.75) == 0
    assert fewest_more([], 8, 0.5) == 4
    assert fewest_more(["7"], 1, 1.0) == 0


def test_a_tie_goes_to_the_answer_that_came_first() -> None:
    assert majority(["b", "a", "a", "b"]) == ("b", 2)
    assert is_settled(["a", "a"], 4, 0.5), "two others can draw level and not pass"
    assert not is_settled(["b", "a", "a"], 4, 0.5), "b can draw level, and came first"
