"""A response must say more than its prompt does. Evidence: none, the row shows it.

"#### 327" answered by "327" is an echo: both come down to the same words. "Who is older, Tom or Ann?" answered by "Ann" is none.
"""

from typing import ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.contamination import folded
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict


class Echoes(Rule):
    stage, order = Stage.ROW, 40
    reasons: ClassVar[dict[str, str]] = {"echo": "the response only repeats the prompt"}

    class Settings(Section):
        drop_echoes: bool = False
        """Drop rows whose response has the same words as the prompt, in the same order."""

    def suspects(self):
        import numpy as np

        return np.full(len(self.rows), self.settings.drop_echoes)

    def verdict(self, row: int) -> Verdict | None:
        prompt, response = self.rows.column("prompt")[row], self.rows.column("response")[row]
        return Verdict("echo") if folded(prompt) == folded(response) else None


RULE = Echoes
