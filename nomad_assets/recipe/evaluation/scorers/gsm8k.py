"""GSM8K's rule: the number behind `####`. Worked examples, gold "18":

    "9 * 2 = $18\\n#### 18"       exact_match 1 (official), lm_eval_strict 1, lm_eval_flexible 1
    "She makes $18 a day."         exact_match 0,            lm_eval_strict 0, lm_eval_flexible 1

Sources: github.com/openai/grade-school-math (`extract_answer`), and the task `gsm8k` of lm-evaluation-harness 0.4.13.
"""

import re

from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import Row
from nomad_assets.recipe.evaluation.scorer import EXACT_MATCH, Scorer

_OFFICIAL = re.compile(r"#### (\-?[0-9\.\,]+)")
_DIGIT = re.compile("[0-9]")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = [re.compile(pattern) for pattern in (",", r"\$", r"(?s)\A.*#### ", r"\.$")]


class Gsm8k(Scorer):
    """Metrics in [0, 1]; `exact_match` is the official one."""

    def accepted(self, row: Row) -> list[str]:
        number = final_number(row.response)
        if number is None:
            raise NomadError(
                f"{row.source} row {row.number}: rule gsm8k needs an answer that ends in `#### N`; found {row.response[-60:]!r}"
            )
        return [number]

    def score(self, response: str, answers: list[str]) -> dict[str, float]:
        gold = answers[0]
        official = _OFFICIAL.search(response)
        found = _FLEXIBLE.findall(response)
        flexible = next((part for part in found[-1] if part), "") if found else ""
        return {
            EXACT_MATCH: float(official is not None and official.group(1).replace(",", "") == gold),
            "lm_eval_strict": float(_same_number(official.group(1) if official else "[invalid]", gold)),
            "lm_eval_flexible": float(_same_number(flexible, gold)),
        }


def final_number(response: str) -> str | None:
    """The number behind `####` by GSM8K's rule, without thousands separators; None where a response has none."""
    match = _OFFICIAL.search(response)
    return match.group(1).replace(",", "") if match and _DIGIT.search(match.group(1)) else None


def _same_number(found: str, gold: str) -> bool:
    for pattern in _IGNORED:
        found, gold = pattern.sub("", found), pattern.sub("", gold)
    return found.lower().strip() == gold.lower().strip()


SCORER = Gsm8k
