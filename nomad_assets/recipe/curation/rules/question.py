"""A prompt must ask something, in words. Evidence: what is wrong with it.

"#### 80." and "#### 327" are answers, "12 + 5 = ?" has no word. "What is 12 + 5?" and "法国的首都是哪里?" are questions.
"""

import re
from typing import ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict

ANSWER_MARK = "####"
WORD = re.compile(r"[^\W\d_]{2}")


class Question(Rule):
    stage, order = Stage.ROW, 50
    looks_for_errors = True
    reasons: ClassVar[dict[str, str]] = {"not_a_question": "the prompt is an answer, or has no word"}

    class Settings(Section):
        drop_non_questions: bool = False
        """Drop rows whose prompt has no word, or holds `####`, which marks an answer."""

    def suspects(self):
        import numpy as np

        return np.full(len(self.rows), self.settings.drop_non_questions)

    def verdict(self, row: int) -> Verdict | None:
        fault = no_question(self.rows.column("prompt")[row])
        return Verdict("not_a_question", fault) if fault else None


def no_question(prompt: str) -> str | None:
    """Why a prompt asks nothing, or None."""
    if ANSWER_MARK in prompt:
        return f"it holds {ANSWER_MARK}"
    return None if WORD.search(prompt) else "it has no word"


RULE = Question
