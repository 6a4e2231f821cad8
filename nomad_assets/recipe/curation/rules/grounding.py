"""A worked answer must start from its prompt's numbers, use them and its results, and end in the last. Evidence: what does not.

To "A bowl holds 5 apples, 7 pears and 4 plums. How many fruits are in the bowl?"

    "12 - 4 = 8\\n#### 8"                  ungrounded_number    12 in "12 - 4 = 8"
    "5 + 7 = 12\\n#### 12"                 unused_number        4
    "5 + 7 = 12\\n5 + 4 = 9\\n#### 9"      unused_result        "5 + 7 = 12"
    "5 + 7 = 12\\n12 + 4 = 16\\n#### 8"    unsupported_answer   8 after "12 + 4 = 16"

A response without a calculation is not judged, and neither is what calculations.py cannot read. What is right may be
accused: of GSM8K's 1,319 worked test answers, for which nothing was tuned, 2.4%, 3.6%, 0.8% and 0.5%, together 6.6% (of its
7,473 training answers 3.1%, 3.7%, 1.0% and 0.4%, together 7.4%). Those take steps silently, count what the prompt lists, or
are asked a question that holds more numbers than it needs. Of the 3,000 shipped word problems none is accused.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.calculations import DIGITS, START, Number, calculations, numbers, plain
from nomad_assets.recipe.curation.quantities import fraction_forms, given, percent_forms, said
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict

ANSWER = re.compile(r"####\s*[$€£]?(\S*)")
# Not a clock time, a rank or a bound of a range.
QUANTITY = re.compile(
    rf"(?<!\d[:/-]){START}(?P<digits>{DIGITS})(?![:/-]\d|(?:st|nd|rd|th|[ap]m)\b|\s(?:[ap]\.?m\b|o'clock))"
    r"[\s-]*(?:(?P<percent>%|percent\b)|(?P<time>(?:hour|minute|second|hr|min|sec)s?\b))?",
    re.IGNORECASE,
)
ALWAYS = {Fraction(0), Fraction(1)}


class Grounding(Rule):
    stage, order = Stage.ROW, 60
    looks_for_errors = True
    reasons: ClassVar[dict[str, str]] = {
        "ungrounded_number": "a calculation takes a number that neither the prompt nor an earlier result gives",
        "unused_number": "the response never mentions a number that the prompt gives",
        "unused_result": "nothing later takes the result of a calculation",
        "unsupported_answer": "the number after `####` is not the last result",
    }

    class Settings(Section):
        check_grounding: bool = False
        """Drop rows whose calculations take a number from nowhere, leave one of the prompt or a result unused, or do not end
        in the answer."""

    def suspects(self):
        return self.rows.table["response"].str.contains("=", literal=True).fill_null(False).to_numpy() & (
            self.settings.check_grounding
        )

    def verdict(self, row: int) -> Verdict | None:
        prompt, response = self.rows.column("prompt")[row], self.rows.column("response")[row]
        for reason, part in PARTS_OF_THE_RULE.items():
            if (evidence := part(prompt, response)) is not None:
                return Verdict(reason, evidence)
        return None


def ungrounded_number(prompt: str, response: str) -> str | None:
    """The first operand that comes from nowhere, with its calculation.

    A number may also be one step away from known ones, where the response says it in words first ("2 of 50 are eaten, so 48
    are left. 48 / 2 = 24") or rewrites a calculation ("75 + 10% of 150 = 75 + 15 = 90").
    """
    known, in_words = given(prompt), set()
    for place, calculation in enumerate(calculations(response)):
        in_words.update(number.value for number in numbers(calculation.before))
        rewritten = place > 0 and not calculation.before.strip()
        for operand in calculation.operands:
            explained = rewritten or operand.value in in_words
            if not _is_one_of(operand, known) and not (explained and _one_step_from(operand.value, known)):
                return f"{operand.text} in {calculation.text}"
        if calculation.result:
            known |= _forms(calculation.result)
    return None


def unused_number(prompt: str, response: str) -> str | None:
    """The first number of the prompt, in digits, that the response never mentions before its `####`.

    0, 1, fractions, clock times, ranks and the bounds of "3-5 kg" need no mention.
    """
    worked = response.partition("####")[0]
    if not any(calculation.operands for calculation in calculations(worked)):
        return None
    mentioned = said(worked) | ALWAYS
    for match in QUANTITY.finditer(plain(prompt)):
        number = Fraction(match["digits"])
        forms = {number}
        if match["percent"]:
            forms |= percent_forms(number)
        if match["time"]:  # 90 minutes may have become 1.5 hours
            forms |= {number * 60, number / 60}
        if "cents" in prompt:
            forms |= {number * 100, number / 100}
        if not mentioned & forms:
            return match["digits"] + ("%" if match["percent"] else "")
    return None


def unused_result(prompt: str, response: str) -> str | None:
    """The last calculation but the final one whose result nothing later takes or mentions."""
    worked = response.partition("####")[0]
    found = list(calculations(worked))
    final = max((place for place, calculation in enumerate(found) if calculation.result), default=0)
    later = {number.value for number in numbers(worked.rpartition("=")[2])}
    for place in reversed(range(len(found))):
        calculation, result = found[place], found[place].result
        if result and calculation.operands and place < final:
            forms = _forms(result) | {result.value * 100, result.value / 100}
            rounded = result.decimals > 0 and any(abs(value - result.value) < 1 for value in later)
            if not forms & later and not rounded:
                return calculation.text
        said_before = [number.value for number in numbers(calculation.before)]
        # What stands first is the result before, which an unread left side may take.
        later.update(said_before[1:] if place and calculation.operands else said_before)
        later.update(number.value for number in calculation.operands)
        if result and not calculation.operands:  # it may come from anything
            later.add(result.value)
    return None


def unsupported_answer(prompt: str, response: str) -> str | None:
    """The number after `####`, where it is neither the last result, nor that one rounded, nor said after it."""
    answer = ANSWER.search(response)
    if answer is None:
        return None
    last = None
    for calculation in calculations(response[: answer.start()]):
        last = calculation if calculation.result else last
    if last is None:
        return None
    result, stated = last.result.value, [number.value for number in numbers(answer[1])][:1]
    accepted = {result, *(number.value for number in numbers(response[: answer.start()].rpartition("=")[2]))}
    if any(value in accepted or (result.denominator > 1 and abs(value - result) < 1) for value in stated):
        return None
    return f"{answer[1] or 'nothing'} after {last.text}"


PARTS_OF_THE_RULE: dict[str, Callable[[str, str], str | None]] = {
    "ungrounded_number": ungrounded_number,
    "unused_number": unused_number,
    "unused_result": unused_result,
    "unsupported_answer": unsupported_answer,
}


def _forms(number: Number) -> set[Fraction]:
    above, _, below = number.text.rstrip("%").partition("/")
    forms = fraction_forms(Fraction(above), Fraction(below)) if below else {number.value}
    return forms | percent_forms(number.value) if number.percent else forms


def _is_one_of(number: Number, known: set[Fraction]) -> bool:
    values = (number.value, number.value / 100) if number.percent else (number.value,)
    if any(value in known or value in ALWAYS for value in values):
        return True
    # A number with decimals may have been rounded or cut off.
    last = Fraction(1, 10**number.decimals)
    return number.decimals > 0 and any(abs(other - value) < last for other in known for value in values)


def _one_step_from(value: Fraction, known: set[Fraction]) -> bool:
    """Whether it is the sum, difference, product or quotient of two of them."""
    return any(
        known & {value - a, a - value, a + value, value * a, *((value / a, a / value) if a and value else ())}
        for a in known - ALWAYS
    )


RULE = Grounding
