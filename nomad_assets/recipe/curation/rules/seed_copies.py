"""A prompt must not repeat one of the teacher's own seed rows. Evidence: the seed row's id, and the similarity."""

from typing import ClassVar

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict
from nomad_assets.recipe.curation.word_grams import KnownTexts


class SeedCopies(Rule):
    stage, order, settings_order = Stage.TEXT, 20, 3
    reasons: ClassVar[dict[str, str]] = {
        "seed_copy": "the prompt repeats a seed row",
        "near_seed_copy": "the prompt nearly repeats a seed row",
    }

    class Settings(Section):
        seed_copy: Share = 0.8
        """The same against the teacher's own seed rows."""

    def __init__(self, settings: Settings, rows: CorpusRows):
        super().__init__(settings, rows)
        self.seeds = KnownTexts(rows.texts, rows.gram_sets, settings.seed_copy, rows.names)
        for text in range(rows.seeds.height):
            self.seeds.add(text)

    def verdict(self, row: int) -> Verdict | None:
        twin = self.seeds.twin(self.rows.text(row))
        return Verdict("seed_copy" if twin.exact else "near_seed_copy", twin.name, twin.similarity) if twin else None


RULE = SeedCopies
