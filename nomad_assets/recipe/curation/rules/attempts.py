"""Rows of the first attempts alone, so that arms are compared at an equal number of attempts. Evidence: that number."""

from typing import ClassVar

from nomad_assets.profile.fields import Count, Section
from nomad_assets.recipe.curation.rule import Rule, Verdict


class Attempts(Rule):
    order = 15
    reasons: ClassVar[dict[str, str]] = {"later_attempt": "it was written in a later attempt than are counted"}

    class Settings(Section):
        attempts: Count | None = None
        """Take rows of so many attempts alone, the first ones; left out, of all."""

    def verdict(self, row: int) -> Verdict | None:
        most = self.settings.attempts
        if most is None or self.rows.column("attempt")[row] < most:
            return None
        return Verdict("later_attempt", f"attempt {self.rows.column('attempt')[row] + 1} of {most}")


RULE = Attempts
