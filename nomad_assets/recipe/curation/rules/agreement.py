"""Several responses to a prompt must agree on its final answer. Evidence: the row's own answer, and the share that agrees.

Where it is not known how many agree, since sampling stopped at a response that was right, nothing is asked.
"""

from typing import ClassVar

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict


class Agreement(Rule):
    stage, order = Stage.ROW, 20
    reasons: ClassVar[dict[str, str]] = {
        "minority_answer": "another final answer was more frequent among the prompt's responses",
        "low_agreement": "too few of the prompt's responses agreed",
    }

    class Settings(Section):
        min_agreement: Share = 0.0
        """Smallest share of a prompt's responses that must agree on the final answer."""

    def suspects(self):
        majority, agreement = self.rows.table["majority_answer"], self.rows.table["agreement"]
        return (~majority | (agreement < self.settings.min_agreement)).fill_null(False).to_numpy()

    def verdict(self, row: int) -> Verdict | None:
        answer, agreement = self.rows.column("final_answer")[row], self.rows.column("agreement")[row]
        if not self.rows.column("majority_answer")[row]:
            return Verdict("minority_answer", answer, agreement)
        return Verdict("low_agreement", answer, agreement) if agreement < self.settings.min_agreement else None


RULE = Agreement
