"""A row whose prompt or response did not end by itself. Evidence: which of them, and how it ended."""

from typing import ClassVar

from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict


class Completion(Rule):
    stage, order = Stage.ROW, 10
    reasons: ClassVar[dict[str, str]] = {"not_completed": "the prompt or the response did not end by itself"}

    def suspects(self):
        return self.rows.table["response_end"].ne_missing("completed").to_numpy()

    def verdict(self, row: int) -> Verdict:
        prompt_end, response_end = (self.rows.column(f"{phase}_end")[row] for phase in ("prompt", "response"))
        phase, end = ("prompt", prompt_end) if prompt_end != "completed" else ("response", response_end)
        return Verdict("not_completed", f"{phase}: {end}")


RULE = Completion
