"""TriviaQA's rule: a short answer among aliases. Worked examples, accepted answers ("The Nile", "Nile River"):

    "nile"                         exact_match 1 (official drops articles), lm_eval_exact_match 0 (it keeps them)
    "Nile, in Africa"              exact_match 0, lm_eval_exact_match 0 (cut at the comma: "nile" is not "the nile")

Sources: github.com/mandarjoshi90/triviaqa (`triviaqa_evaluation`), and the task `triviaqa` of lm-evaluation-harness 0.4.13.
"""

import re
import string
from collections import Counter

from nomad_assets.recipe.evaluation.scorer import EXACT_MATCH, Scorer

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_OFFICIAL_PUNCTUATION = str.maketrans({c: " " for c in string.punctuation + "‘’´`"})
_DELETED_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LM_EVAL_STOPS = re.compile(r"[\n.,]")


class TriviaQA(Scorer):
    """Metrics in [0, 1], each for the answer that fits best; `exact_match` is the official one."""

    def score(self, response: str, answers: list[str]) -> dict[str, float]:
        cut = _LM_EVAL_STOPS.split(response, maxsplit=1)[0]
        return {
            EXACT_MATCH: max(float(normalise_official(response) == normalise_official(answer)) for answer in answers),
            "f1": max(_f1(normalise_official(response), normalise_official(answer)) for answer in answers),
            "lm_eval_exact_match": max(
                float(_normalise_lm_eval(cut) == _normalise_lm_eval(answer)) for answer in answers
            ),
        }


def normalise_official(text: str) -> str:
    """TriviaQA's own: `_` to space, lower case, punctuation to space, articles dropped, white space folded."""
    words = text.replace("_", " ").lower().translate(_OFFICIAL_PUNCTUATION)
    # "A" or "+" may be the whole answer: dropped, it would equal an empty response.
    return " ".join(_ARTICLES.sub(" ", words).split()) or " ".join(words.split()) or " ".join(text.split())


def _normalise_lm_eval(text: str) -> str:
    return text.strip().lower().translate(_DELETED_PUNCTUATION)


def _f1(found: str, gold: str) -> float:
    a, b = found.split(), gold.split()
    common = sum((Counter(a) & Counter(b)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall)


SCORER = TriviaQA
