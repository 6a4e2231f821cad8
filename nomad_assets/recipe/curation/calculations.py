"""The numbers and the written calculations of a text.

    "Tom has $1,200, and 25% of it are in coins."         1200, 25%
    "He sold 48/2 = <<48/2=24>>24 clips. 48 + 24 = 72."   (48, 2) -> 24; (48, 24) -> 72
    "2 + 3 + 4 = 9"                                       (2, 3, 4) -> 9
    "2 + 3 = 5 + 1 = 6"                                   (2, 3) -> 5; (5, 1) -> 6
    "5 boxes * $3/box = $15"                              (5, 3) -> 15
    "half of 60 = 30", "2x + 3 = 30"                      () -> 30, for the left side is not read

Every `=` is one calculation. Its left side is the longest run of numbers and signs before it, with units and brackets; its
result is the number behind it.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from nomad_assets.recipe.data.record_formats import CALCULATOR

THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
CHARACTERS = str.maketrans({"–": "-", "−": "-", "×": "*", "÷": "/", "’": "'", "$": None, "€": None, "£": None})
# Python reads no number of more than 4,300 digits, and a model that repeats itself may write one.
DIGITS = r"(?:[0-9]{1,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})(?!\.?\d)"
START = r"(?<![\w.])"  # no number starts inside a word or another number
# Nothing is given back (*+): a long chain would be tried in all its ways. Up to four words, "stickers/page" among them. A single letter is a variable, or the sign x.
UNIT = r"(?:[ \t]*+/?[ \t]*+(?!of\b)[A-Za-z]{2,}+(?:['-][A-Za-z]+)*+){0,4}+"
OPERAND = rf"[(\[ \t]*+-?{DIGITS}[ \t]*+%?{UNIT}[)\] \t]*+"
# After x a number has no sign, for "3x-5" is algebra. Before a bracket the sign may be left out.
SIGN = r"(?:[-+*/]|[xX](?!\s*-|[A-Za-z])|of\b|(?<=[)\d])(?=\())\s*+"
# Nor the rest of what begins with something else: "(x - 6) / 2 = 24".
WHOLE = "".join(rf"(?<![A-Za-z)]{sign})" for sign in ("[-+*/]", "[-+*/] ", " [-+*/]", " [-+*/] "))
LEFT = re.compile(rf"{START}{WHOLE}{OPERAND}(?:{SIGN}{OPERAND})++$")
RESULT = re.compile(rf"\s*-?({DIGITS})(?:/({DIGITS}))?[ \t]*(%?)")
NUMBER = re.compile(rf"(?:{START}|(?<=\dx))({DIGITS})[ \t]*(%?)")
LONGEST_LEFT = 240


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written, without its sign."""

    text: str
    value: Fraction
    decimals: int = 0
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Calculation:
    """What stands around one `=`."""

    text: str
    operands: tuple[Number, ...]
    """Empty where the left side could not be read."""
    result: Number | None
    """None where no number follows."""
    before: str
    """What the text says between the `=` before and the left side, from that one's result on."""


def plain(text: str) -> str:
    """A text with ASCII signs and without currencies, separators of thousands and GSM8K's calculator annotations."""
    return THOUSANDS.sub("", CALCULATOR.sub("", text).translate(CHARACTERS))


def numbers(text: str) -> list[Number]:
    """The numbers that are written in digits, in their order."""
    return [_number(digits, percent) for digits, percent in NUMBER.findall(plain(text))]


def calculations(text: str) -> Iterator[Calculation]:
    """One for every `=`, in their order."""
    parts = plain(text).split("=")
    for before, after in itertools.pairwise(parts):
        before = before.rstrip()
        left, right = LEFT.search(before, max(0, len(before) - LONGEST_LEFT)), RESULT.match(after)
        written = (left[0].strip() if left else "", right[0].strip() if right else "")
        yield Calculation(
            text=" = ".join(written).strip(),
            operands=tuple(numbers(left[0])) if left else (),
            result=_number(right[1], right[3], right[2]) if right else None,
            before=before[: left.start()] if left else before,
        )


def _number(digits: str, percent: str, divisor: str | None = None) -> Number:
    value, text = Fraction(digits), digits
    if divisor and float(divisor):
        value, text = value / Fraction(divisor), f"{digits}/{divisor}"
    return Number(text + percent, value, len(digits.partition(".")[2]), bool(percent))
