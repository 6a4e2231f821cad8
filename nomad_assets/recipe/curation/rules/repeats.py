"""A prompt must not repeat that of an earlier row, exactly or nearly. Evidence: that row's id, and the similarity.

Compared are rows that no earlier rule dropped; a row that is itself a repeat is no twin of a later one.
"""

from typing import ClassVar

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict
from nomad_assets.recipe.curation.word_grams import KnownTexts


class Repeats(Rule):
    stage, order, settings_order = Stage.TEXT, 10, 2
    reasons: ClassVar[dict[str, str]] = {
        "exact_repeat": "the prompt repeats an earlier row",
        "near_repeat": "the prompt nearly repeats an earlier row (Jaccard similarity of word 3-grams)",
    }

    class Settings(Section):
        near_repeat: Share = 0.8
        """Jaccard similarity of word 3-grams from which two prompts count as repeats; 1 turns it off."""

    def __init__(self, settings: Settings, rows: CorpusRows):
        super().__init__(settings, rows)
        self.earlier = KnownTexts(rows.texts, rows.gram_sets, settings.near_repeat, rows.names)

    def verdict(self, row: int) -> Verdict | None:
        text = self.rows.text(row)
        twin = self.earlier.twin(text)
        if twin is None:
            self.earlier.add(text)
            return None
        return Verdict("exact_repeat" if twin.exact else "near_repeat", twin.name, twin.similarity)


RULE = Repeats
