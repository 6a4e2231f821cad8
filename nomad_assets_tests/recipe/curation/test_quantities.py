"""The numbers that a text gives."""

from fractions import Fraction

import pytest

from nomad_assets.recipe.curation.quantities import fraction_forms, given, percent_forms, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("no number", set()),
        ("2 of $1,200, and .5", {2, 1200, Fraction(1, 2)}),
        ("two of twenty", {2, 20}),
        ("twenty-five", {20, 5, 25}),
        ("two hundred and five", {2, 100, 200, 5, 205}),
        ("three thousand", {3, 1000, 3000}),
        ("5 million", {5, 10**6, 5 * 10**6}),
        ("twice, triple, both", {2, 3}),
        ("half a dozen", {*fraction_forms(Fraction(1), Fraction(2)), 12, 6}),
        ("four and a half", {*fraction_forms(Fraction(1), Fraction(2)), 4, Fraction(9, 2)}),
        ("three quarters", {*fraction_forms(Fraction(3), Fraction(4)), Fraction(1, 4)}),
        ("3/4", fraction_forms(Fraction(3), Fraction(4))),
        ("3/0", {3}),
        ("20%, 30 percent", {*percent_forms(Fraction(20)), *percent_forms(Fraction(30))}),
    ],
)
def test_said(text, expected):
    assert said(text) == expected


def test_forms():
    assert percent_forms(Fraction(20)) == {20, Fraction(1, 5), 80, Fraction(4, 5), 120, Fraction(6, 5)}
    assert fraction_forms(Fraction(3), Fraction(4)) == {3, 4, Fraction(3, 4), 1, Fraction(1, 4), 7, Fraction(7, 4)}


@pytest.mark.parametrize(
    ("text", "also"),
    [
        ("Tom has 2 pens.", set()),
        ("2 weeks", {14, 104, 7, 52}),
        ("3 hours daily", {180, 10800, 60, 3600, 24, 7, 365}),
        ("Ann, Tom and Eve have pens.", {3}),
        ("Ann, Tom, Eve, and Max have pens.", {4}),
        ("Ann and Tom have pens.", {2}),
        ("the average of 4, 6 and 8", {2, 3}),
        ("$5", {500, Fraction(1, 20), 100, Fraction(1, 100)}),
    ],
)
def test_given_besides_what_is_said(text, also):
    assert given(text) == said(text) | also
