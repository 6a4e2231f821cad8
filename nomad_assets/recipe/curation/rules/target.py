"""A corpus takes the rows that pass in the order in which they were written, until it is full."""

from typing import ClassVar

from nomad_assets.profile.fields import Count, Section
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict


class Target(Rule):
    stage, order, settings_order = Stage.SELECTION, 90, 1
    reasons: ClassVar[dict[str, str]] = {"over_target": "the corpus was full"}

    class Settings(Section):
        keep: Count
        """Number of rows to keep, the same for every arm so that they are compared at equal corpus size."""

    def __init__(self, settings: Settings, rows: CorpusRows):
        super().__init__(settings, rows)
        self.kept = 0

    def verdict(self, row: int) -> Verdict | None:
        if self.kept >= self.settings.keep:
            return Verdict("over_target", f"{self.settings.keep} rows are kept")
        self.kept += 1
        return None


RULE = Target
