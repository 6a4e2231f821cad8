"""A row must hold no benchmark question, by the rule of contamination.py. Evidence: the question, and how much of it."""

from typing import ClassVar

from nomad_assets.recipe.curation.contamination import ContaminationIndex
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict


class BenchmarkQuestions(Rule):
    stage, order = Stage.TEXT, 30
    reasons: ClassVar[dict[str, str]] = {
        "contaminated": "it holds a benchmark question: equal, more than half of its own words in shared 8-grams, or a "
        "short one with its answer",
    }

    def __init__(self, settings: object, rows: CorpusRows):
        super().__init__(settings, rows)
        self.index = ContaminationIndex(rows.questions)

    def suspects(self):
        return self.rows.texts.suspects(self.index)[self.rows.seeds.height :]

    def verdict(self, row: int) -> Verdict | None:
        overlap = self.index.find(self.rows.column("prompt")[row], self.rows.column("response")[row])
        if overlap is None:
            return None
        return Verdict("contaminated", f"{overlap.question_id}: {overlap.question}", overlap.share)


RULE = BenchmarkQuestions
