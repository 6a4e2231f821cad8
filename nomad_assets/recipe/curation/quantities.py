"""The numbers that a text gives: in digits, in words, and in the forms in which a calculation may take them.

    "two hundred and five", "half a dozen"    205; 6
    "20% off"                                 20, 0.2, and what it leaves or makes of a whole: 80, 0.8, 120, 1.2
    "three quarters"                          3, 4, 0.75, and in the same way 1, 0.25, 7, 1.75
    "2 weeks"                                 2, 14, 104, and the constants of a week, 7 and 52
    "Ann, Tom and Eve share"                  3

Rather too much is taken as given than too little.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from nomad_assets.recipe.curation.calculations import DIGITS, numbers, plain

WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
COUNTS = {
    **{word: number for number, word in enumerate(WORDS.split())},
    **{word: 10 * number for number, word in enumerate(TENS.split(), start=2)},
    **dict.fromkeys("twice double doubled doubles doubling both pair pairs couple couples twins".split(), 2),
    **dict.fromkeys("thrice triple tripled triples tripling triplets".split(), 3),
    **dict.fromkeys("quadruple quadrupled quadruples".split(), 4),
    "decade": 10, "decades": 10, "century": 100,
}  # fmt: skip
SCALES = {"dozen": 12, "dozens": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
PARTS = {
    f"{word}{ending}": number
    for number, words in enumerate(
        ["half halve", "third", "fourth quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], start=2
    )
    for word in words.split()
    for ending in ("", "s", "d")
} | {"halves": 2}
MONTHS = "month january february march april may june july august september october november december"
# What a word of the prompt says without saying a number; `_stem` folds its forms.
CONSTANTS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(MONTHS.split(), (12, 28, 29, 30, 31, 4)),
    **dict.fromkeys(["year", "annual"], (12, 52, 365, 366)),
    **dict.fromkeys(["hour", "minute", "second"], (60, 3600)),
    **dict.fromkeys(["$", "dollar", "cent", "%", "percent", "percentage"], (100, 0.01)),
    **dict.fromkeys(["foot", "feet", "inch", "inche", "yard", "mile"], (12, 3, 36, 5280)),
    **dict.fromkeys(["pound", "ounce", "lb", "oz"], (16,)),
    **dict.fromkeys(["gallon", "quart", "pint", "cup"], (2, 4, 8, 16, 32, 128)),
    **dict.fromkeys("meter centimeter kilometer gram kilogram liter milliliter km cm kg ml ton".split(), (10, 100, 1000, 2000)),
    **dict.fromkeys(["square", "rectangle", "rectangular", "perimeter", "around", "wall"], (2, 4)),
    **dict.fromkeys(["triangle", "triangular"], (2, 3)),
    **dict.fromkeys("even split between average other wife husband parent couple round".split(), (2,)),
    **dict.fromkeys(["leg", "wheel", "tire", "tyre"], (2, 3, 4, 6, 8)),
    "day": (24, 7, 365), "week": (7, 52), "weekday": (5,), "weekend": (2,), "nickel": (5, 0.05), "dime": (10, 0.1), "quarter": (25, 0.25),
}  # fmt: skip
CONSTANTS_OF = {word: frozenset(Fraction(str(constant)) for constant in values) for word, values in CONSTANTS.items()}
TOKEN = re.compile(rf"{DIGITS}/{DIGITS}|{DIGITS}|[a-z]+|[%$]")
LIST = re.compile(r"\w+(?:, \w+)+(,?) and \w+")
TWO_NAMES = re.compile(r"(?<!, )\b[A-Z]\w+ and [A-Z]")
HUNDREDTHS = {"dollar", "cent", "$", "%", "percent", "percentage"}


def given(text: str) -> set[Fraction]:
    """What a text says, the constants of the units that it names, the lengths of its lists and, for an average, the counts
    that it may be taken over."""
    found, value = set(), None
    for token, now, forms in _read(text):
        found |= forms
        if value is not None and now is None:  # "2 weeks" are 14 days
            found |= {value * constant for constant in CONSTANTS_OF.get(_stem(token), ())}
        value = now
    words = {_stem(word) for word in re.findall(r"[a-z]+|[$%]", text.lower())}
    for word in words & CONSTANTS_OF.keys():
        found |= CONSTANTS_OF[word]
    in_digits = [number.value for number in numbers(text)]
    if words & HUNDREDTHS:
        found |= {form for value in in_digits for form in (value / 100, value * 100)}
    if "average" in words:
        found |= set(map(Fraction, range(2, len(in_digits) + 1)))
    if TWO_NAMES.search(text):
        found.add(Fraction(2))
    return found | {Fraction(m[0].count(",") + (1 if m[1] else 2)) for m in LIST.finditer(text)}


def said(text: str) -> set[Fraction]:
    """The numbers that a text says, in all their forms."""
    return {form for _, _, forms in _read(text) for form in forms}


def percent_forms(percent: Fraction) -> set[Fraction]:
    """20 -> 20, 0.2; 80, 0.8; 120, 1.2."""
    return {form for part in (percent, abs(100 - percent), 100 + percent) for form in (part, part / 100)}


def fraction_forms(above: Fraction, below: Fraction) -> set[Fraction]:
    """3/4 -> 3, 4, 0.75; 1, 0.25; 7, 1.75."""
    return {form for part in (above, abs(below - above), below + above) for form in (part, part / below)} | {below}


def _read(text: str) -> Iterator[tuple[str, Fraction | None, set[Fraction]]]:
    """Each number, word and sign, with the number that the words up to it say and the forms that it gives."""
    value, before = None, ""
    for token in TOKEN.findall(plain(text).lower()):
        value, forms = _step(token, value, before in ("a", "and"))
        yield token, value, forms if value is None else {*forms, value}
        before = token


def _step(token: str, value: Fraction | None, joined: bool) -> tuple[Fraction | None, set[Fraction]]:
    if token[0] in "0123456789.":
        above, _, below = token.partition("/")
        if below and Fraction(below):
            return Fraction(above) / Fraction(below), fraction_forms(Fraction(above), Fraction(below))
        return Fraction(above), set()
    if token in COUNTS:
        number = Fraction(COUNTS[token])
        room = 0 if not value else 100 if value % 100 == 0 else 10 if value % 10 == 0 else 0
        return (value + number if number < room else number), {number}  # "two hundred and five", "twenty-five"
    if token in SCALES:
        return (value or 1) * SCALES[token], {Fraction(SCALES[token])}
    if token in PARTS:
        part = Fraction(1, PARTS[token])
        if value is None or not joined:
            return part, fraction_forms(value or Fraction(1), 1 / part)
        return value + part, fraction_forms(Fraction(1), 1 / part)  # "four and a half"
    if token in ("%", "percent"):
        return value, set() if value is None else percent_forms(value)
    return (value if token in ("a", "and") else None), set()


def _stem(word: str) -> str:
    """ "weeks" and "weekly" -> "week", "daily" -> "day", "evenly" -> "even"."""
    for ending, instead in (("aily", "ay"), ("ally", ""), ("ly", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending):
            return word[: -len(ending)] + instead
    return word
