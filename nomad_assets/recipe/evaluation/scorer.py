"""How the answers to local questions are scored: one interface, the built-in rules and a user's own behind it.

A built-in scorer is a module of scorers/ that names its class `SCORER`; the module's name is the benchmark's `rule`. A
plug-in is such a class, or a function:

    def close_enough(response: str, answers: list[str]) -> dict[str, float]:
        return {"exact_match": response.strip() in answers}

It gives the same metrics for every question, as numbers; one number or bool alone is `exact_match`. Students are compared
by `exact_match`, or by the first metric where there is none.
"""

import math
import numbers
import re
from typing import TYPE_CHECKING

from nomad_assets.errors import shown
from nomad_assets.plugins import Plugin
from nomad_assets.recipe.data.sources import Row

if TYPE_CHECKING:
    import polars as pl

EXACT_MATCH = "exact_match"
METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
SHARES = r"^(exact_match|acc|lm_eval_)|^f1$"
"""Names of metrics whose values lie in [0, 1]: ours, and those of lm-evaluation-harness that always do."""


class Scorer:
    def accepted(self, row: Row) -> list[str]:
        """The accepted answers to the question of a row. Raises NomadError when it has none that can be read."""
        return list(row.answers or (row.response,))

    def score(self, response: str, answers: list[str]) -> dict[str, float]:
        """All metrics of one response."""
        raise NotImplementedError

    def metrics(self, questions: "pl.DataFrame") -> list[str]:
        """The names of the metrics."""
        return list(self.score("", ["0"]))

    def score_question(self, question: str, response: str, answers: list[str]) -> dict[str, float]:
        """All metrics of the response to the question of that id."""
        return self.score(response, answers)


class PluginScorer(Scorer):
    """A user's scorer. What it raises or gives wrongly is an error that names it and the question."""

    def __init__(self, plugin: Plugin):
        self.plugin = plugin
        code = plugin.load()
        if isinstance(code, type):
            try:
                code = code()
            except Exception as error:
                raise plugin.raised(error, "while it was made") from error
        self.code, self.ask = code, getattr(code, "score", code)
        if not callable(self.ask):
            raise plugin.fault(f"it is {type(code).__name__}, not a function (response, answers) or class with `score`")
        self.names: list[str] | None = None

    def accepted(self, row: Row) -> list[str]:
        read = getattr(self.code, "accepted", super().accepted)
        where = f"on {row.source} row {row.number}"
        try:
            answers = list(read(row))
        except Exception as error:
            raise self.plugin.raised(error, where) from error
        if not answers or not all(isinstance(answer, str) and answer for answer in answers):
            raise self.plugin.fault(f"its `accepted` gave {shown(answers)} ({where}); give at least one text")
        return answers

    def metrics(self, questions: "pl.DataFrame") -> list[str]:
        """Those that it gives for the model answer of the first question."""
        if questions.is_empty():
            return [EXACT_MATCH]
        first = questions.row(0, named=True)
        return list(self.score_question(first["id"], first["reference"], first["answers"]))

    def score(self, response: str, answers: list[str]) -> dict[str, float]:
        return self.score_question("?", response, answers)

    def score_question(self, question: str, response: str, answers: list[str]) -> dict[str, float]:
        case = [{"question": question, "response": response, "answers": ", ".join(answers)}]
        where = f"on question {question}"
        try:
            found = self.ask(response, list(answers))
        except Exception as error:
            raise self.plugin.raised(error, where, case) from error
        values = found if isinstance(found, dict) else {EXACT_MATCH: found}
        for name, value in values.items():
            if not isinstance(name, str) or not METRIC.fullmatch(name):
                raise self.plugin.fault(f"its metric {shown(name)} ({where}): use letters, digits, '_' and '-'", case)
            if not _is_number(value):
                raise self.plugin.fault(f"its metric {name} is {shown(value)} ({where}); give a finite number", case)
            if re.search(SHARES, name) and not 0 <= value <= 1:
                raise self.plugin.fault(
                    f"its metric {name} is {value} ({where}); a metric of that name lies in [0, 1]", case
                )
        if self.names is None:
            self.names = list(values)
        if not values or set(values) != set(self.names):
            raise self.plugin.fault(
                f"it gave the metrics {', '.join(values) or 'none'} {where}, and {', '.join(self.names) or 'none'} before; "
                "give the same ones for every question",
                case,
            )
        return {name: float(values[name]) for name in self.names}


def _is_number(value: object) -> bool:
    # What numpy compares is no number to Python.
    truth = type(value).__module__ == "numpy" and type(value).__name__ == "bool"
    return truth or (isinstance(value, numbers.Real) and math.isfinite(value))
