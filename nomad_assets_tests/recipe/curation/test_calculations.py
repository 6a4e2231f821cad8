"""What is read as a number, and as a calculation."""

from fractions import Fraction

import pytest

from nomad_assets.recipe.curation.calculations import calculations, numbers


def read(text: str) -> list[tuple[list[str], str | None]]:
    return [([n.text for n in c.operands], c.result and c.result.text) for c in calculations(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom has $1,200, and 25% of it are in coins.", ["1200", "25%"]),
        ("1,2 and 3,4567", ["1", "2", "3", "4567"]),
        ("2.50, .5 and 7.", ["2.50", ".5", "7"]),
        ("3x4, A4 and 12th", ["3", "4", "12"]),
        ("9" * 5000, []),
        ("", []),
    ],
)
def test_numbers(text, expected):
    assert [number.text for number in numbers(text)] == expected


def test_a_number_has_value_decimals_and_percent():
    (number,) = numbers("12.50 %")
    assert (number.value, number.decimals, number.percent) == (Fraction(25, 2), 2, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 + 3 = 9 apples. 9 - 4 = 5 left.", [(["6", "3"], "9"), (["9", "4"], "5")]),
        # The calculator annotations of GSM8K.
        ("He sold 48/2 = <<48/2=24>>24 clips. 48+24 = <<48+24=72>>72.", [(["48", "2"], "24"), (["48", "24"], "72")]),
        ("6 croissants cost 6*$3 = $<<6*3=18.00>>18.00", [(["6", "3"], "18.00")]),
        # Chains.
        ("2 + 3 + 4 = 9", [(["2", "3", "4"], "9")]),
        ("2 + 3 = 5 + 1 = 6", [(["2", "3"], "5"), (["5", "1"], "6")]),
        ("10 - 3\n= 7", [(["10", "3"], "7")]),
        # Brackets, and signs of all kinds.
        ("(2+3)*4 = 20", [(["2", "3", "4"], "20")]),
        ("2(3 + 4) = 14", [(["2", "3", "4"], "14")]),
        (
            "3x4=12, 3 × 4 = 12, 12 ÷ 4 = 3, 5 – 3 = 2",
            [(["3", "4"], "12")] * 2 + [(["12", "4"], "3"), (["5", "3"], "2")],
        ),
        ("-3 + 5 = 2", [(["3", "5"], "2")]),
        ("20% of 50 = 10", [(["20%", "50"], "10")]),
        # Units.
        ("5 boxes * $3/box = $15", [(["5", "3"], "15")]),
        ("In 2020, 5 apples + 3 more apples = 8", [(["5", "3"], "8")]),
        ("$20/hour * 3 hours - $5 = $55", [(["20", "3", "5"], "55")]),
        ("5/20=1/4 of it", [(["5", "20"], "1/4")]),
        # A left side that is not read, and no number behind the sign.
        ("half of 60 = 30", [([], "30")]),
        ("2x + 3 = 7, 3x-5=16", [([], "7"), ([], "16")]),
        ("x-6+(x-6)/2=24", [([], "24")]),
        ("All of the apples in the box - 3 + 2 = 5", [([], "5")]),
        ("- 5 + 3 = 8", [(["5", "3"], "8")]),
        ("2 + 3 = x", [(["2", "3"], None)]),
        ("no sign", []),
        ("=", [([], None)]),
    ],
)
def test_calculations(text, expected):
    assert read(text) == expected


def test_a_calculation_knows_how_it_is_written_and_what_is_said_before_it():
    first, second = calculations("She has 2 bags. 2 * $3 = $6 so far, 10 - 6 = 4")
    assert (first.text, first.before) == ("2 * 3 = 6", "She has 2 bags. ")
    assert (second.text, second.before) == ("10 - 6 = 4", " 6 so far,")


@pytest.mark.parametrize(
    "text", ["1 + " * 200 + "1 apples! = 2", "2 -  " * 200 + "= 3", "(" * 3000 + "1 = 1", "5 pens " * 200 + "= 3"]
)
def test_a_chain_that_leads_nowhere_is_given_up_at_once(text):
    assert len(read(text)) == 1
