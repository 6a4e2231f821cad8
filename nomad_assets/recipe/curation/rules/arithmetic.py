"""A response must hold no false `a op b = c`. Evidence: the equation.

"6 + 3 = 9 apples. 9 - 4 = 6 left." -> "9 - 4 = 6". Decimals are right when they are correct to the digits written.
"""

import re
from fractions import Fraction
from typing import ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict

# Python reads no number of more than 4,300 digits, and a model that repeats itself may write one.
NUMBER = r"[$€£]?(-?(?:(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40})%?)"
# After the result: more of it ("18 000", "6:48", "1 and 1/3"), another term ("+ 1", "+ M", "(2)"), or a variable ("5A").
GOES_ON = r"[.,:]?\d|[ ]\d{3}\b|\s+and\s+\(?\d+/\d|\s*[-+*/x×÷]\s*(?:[\d(]|[A-Za-z](?![A-Za-z]))|[A-Za-z](?![A-Za-z])"
# A number does not start inside a word or another number; after x it has no sign: "3x-5" is algebra.
EQUATION = re.compile(rf"(?<![\w.,:^)%]){NUMBER}\s*([-+*/×÷]|x(?!\s*-))\s*{NUMBER}\s*=\s*{NUMBER}(?!{GOES_ON})")
PART_OF_A_CHAIN = re.compile(r"([-+*/×÷^)%]|[\d ]x|\d[ \t]|\d and)[ \t]*$")
CENTS = re.compile(r"\s*cents?\b")


class Arithmetic(Rule):
    stage, order = Stage.ROW, 30
    looks_for_errors = True
    reasons: ClassVar[dict[str, str]] = {"wrong_arithmetic": "a written calculation is false"}

    class Settings(Section):
        check_arithmetic: bool = False
        """Drop rows in which a written `a op b = c` is false."""

    def suspects(self):
        return self.rows.table["response"].str.contains("=", literal=True).fill_null(False).to_numpy() & (
            self.settings.check_arithmetic
        )

    def verdict(self, row: int) -> Verdict | None:
        equation = wrong_equation(self.rows.column("response")[row])
        return Verdict("wrong_arithmetic", equation) if equation else None


def wrong_equation(text: str) -> str | None:
    """The first written `a op b = c` that is false, or None."""
    for match in EQUATION.finditer(text):
        if PART_OF_A_CHAIN.search(text, max(0, match.start() - 8), match.start()):
            continue  # the tail of "2 + 3 + 4 = 9" says nothing about 3 + 4
        if "$" in match.group(0) and CENTS.match(text, match.end()):
            continue  # "$1 / 2 = 50 cents"
        left, operator, right, result = match.groups()
        if operator in "/÷" and not float(right.replace(",", "").rstrip("%")):
            return match.group(0).strip()
        if not any(_holds(left, operator, right, result, percent) for percent in (1, 100)):
            return match.group(0).strip()
    return None


def _holds(left: str, operator: str, right: str, result: str, percent: int) -> bool:
    """Whether the equation is true when n% is read as n / `percent`: "50% + 20% = 70%" by 1, "200 * 10% = 20" by 100."""
    a, b, c = (
        Fraction(n.replace(",", "").rstrip("%")) / (percent if n.endswith("%") else 1) for n in (left, right, result)
    )
    value = a + b if operator == "+" else a - b if operator == "-" else a / b if operator in "/÷" else a * b
    digits = len(result.rstrip("%").partition(".")[2])
    # Rounding and cutting off are both common, so a last decimal may be off by less than one; a whole number may not.
    last = Fraction(1, 10**digits * (percent if result.endswith("%") else 1))
    return value == c or (digits > 0 and abs(value - c) < last)


RULE = Arithmetic
