r"""A user's filters and verifiers as rules among the others.

A function gets one row and answers whether it stays:

    def too_short(row: dict, fewest: int = 20) -> bool | str | None:
        words = len(row["response"].split())
        return f"{words} words" if words < fewest else None

`True` or None: no objection. `False`: dropped. A text: dropped, with the text as evidence. A `Verdict` gives a similarity
too. Anything else is an error, an empty text as well, for it may mean either.

A verifier with a `scorer` is a function that gives the right answer in place of a verdict: a text, a number, or a list of
what is accepted; None where it knows none. The response is compared with it as a benchmark would:

    def solve(row: dict) -> int | None:
        found = re.fullmatch(r"What is (\d+) \+ (\d+)\?", row["prompt"])
        return int(found[1]) + int(found[2]) if found else None

A class is made and asked like a built-in rule (rule.py). Whatever reason it gives, rows carry the plug-in's own:
`filter.NAME` or `verifier.NAME`. Filters run before verifiers, each in the profile's order.

One that raises, or takes longer than its `seconds`, ends curation in an error that names it and the row.
"""

import dataclasses
import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import pydantic

from nomad_assets import plugins
from nomad_assets.plugins import Plugin
from nomad_assets.profile.fields import Section
from nomad_assets.profile.sections import Curation, UserRule
from nomad_assets.recipe.curation.rule import Verdict
from nomad_assets.recipe.curation.time_limit import TooLong, within
from nomad_assets.recipe.evaluation.scorer import EXACT_MATCH

if TYPE_CHECKING:
    from nomad_assets.recipe.curation.rule import CorpusRows, Rule

UNVERIFIABLE = "it knows no right answer"
"""Evidence of a row that nothing could be compared with."""


def open_user_rules(curation: Curation, found: Sequence[Plugin]) -> list["Callable[[CorpusRows | OneRow], _UserRule]"]:
    """What makes the user's rules, in the order in which they judge. `found` comes from `plugins.locate_rules`.

    Raises NomadError when one cannot be imported, or does not take its options.
    """
    wanted = curation.user_rules()
    if len(wanted) != len(found):
        raise ValueError(
            f"the settings name {len(wanted)} filters and verifiers, {len(found)} were given; "
            "give those of nomad_assets.plugins.locate_rules"
        )
    return [open_user_rule(rule, reason, plugin) for (reason, rule), plugin in zip(wanted.items(), found, strict=True)]


def open_user_rule(wanted: UserRule, reason: str, plugin: Plugin) -> "Callable[[CorpusRows | OneRow], _UserRule]":
    """What makes one of them. Raises NomadError as `open_user_rules` does."""
    code, scorer = plugin.load(), getattr(wanted, "scorer", None)
    if isinstance(code, type) and scorer is not None:
        raise plugin.fault("with a `scorer` it has to be a function that gives the right answer to a row's prompt")
    if isinstance(code, type):
        if not callable(getattr(code, "verdict", None)):
            raise plugin.fault("the class has no method `verdict(row)`; give one as rule.py describes, or a function")
        settings = _settings(code, wanted.options, plugin)
        return lambda rows: _ClassRule(reason, wanted, plugin, rows, lambda: code(settings, rows))
    if not callable(code):
        raise plugin.fault(f"it is {type(code).__name__}, not a function `(row, **options)` or a class with `verdict`")
    try:
        inspect.signature(code).bind({}, **wanted.options)
    except TypeError as error:
        raise plugin.fault(f"it does not take a row and the options {wanted.options}: {error}") from None
    except ValueError:  # code without a signature, such as some functions written in C
        pass
    kind = _FunctionRule if scorer is None else _ReferenceRule
    return lambda rows: kind(reason, wanted, plugin, rows, lambda row: code(row, **wanted.options))


def _settings(code: type, options: dict[str, Any], plugin: Plugin) -> object:
    model = getattr(code, "Settings", Section)
    try:
        return model.model_validate(options)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise plugin.fault(
            f"options.{key} = {problem['input']!r}: {problem['msg']}; it takes {', '.join(model.model_fields) or 'none'}"
        ) from None


class OneRow:
    """A row by itself, where rules get those of a corpus: what a verifier sees while responses are sampled."""

    def __init__(self, row: dict):
        self.table = pl.DataFrame({name: [value] for name, value in row.items()})

    def __len__(self) -> int:
        return 1

    def column(self, name: str) -> list:
        return self.table[name].to_list()


class _UserRule:
    """Code of a user's own, asked as a built-in rule is."""

    def __init__(self, reason: str, wanted: UserRule, plugin: Plugin, rows: "CorpusRows | OneRow"):
        self.reason, self.wanted, self.plugin, self.rows = reason, wanted, plugin, rows

    def suspects(self):
        return None

    def verdict(self, row: int) -> Verdict | None:
        answer = self._guarded(lambda: self._ask(row), f"on row {self._name(row)}", row)
        if answer is None or answer is True:
            return None
        if answer is False:
            return Verdict(self.reason)
        if isinstance(answer, str) and answer:
            return Verdict(self.reason, answer)
        if isinstance(answer, Verdict):
            return dataclasses.replace(answer, reason=self.reason)
        raise self.plugin.fault(
            f"it answered {answer!r} for row {self._name(row)}; answer True or None (no objection), False, or a text "
            "that says why",
            self._cases(row),
        )

    def _ask(self, row: int) -> object:
        raise NotImplementedError

    def _guarded(self, work: Callable[[], Any], where: str, row: int | None = None) -> Any:
        """What the user's code gives. Raises NomadError that says where it was when it raised or took too long."""
        try:
            return within(self.wanted.seconds, work)
        except TooLong:
            problem = (
                f"it took longer than {self.wanted.seconds:g} seconds ({where}); mend it, or give it more `seconds`"
            )
            raise self.plugin.fault(problem, self._cases(row)) from None
        except Exception as error:
            raise self.plugin.raised(error, where, self._cases(row)) from error

    def _cases(self, row: int | None) -> list[dict] | None:
        return None if row is None else [self._record(row)]

    def _name(self, row: int) -> str:
        return self.rows.column("id")[row]

    def _record(self, row: int) -> dict:
        return self.rows.table.row(row, named=True)


class _FunctionRule(_UserRule):
    def __init__(
        self, reason: str, wanted: UserRule, plugin: Plugin, rows: "CorpusRows | OneRow", ask: Callable[[dict], object]
    ):
        super().__init__(reason, wanted, plugin, rows)
        self.ask = ask

    def _ask(self, row: int) -> object:
        answer = self.ask(self._record(row))
        # What numpy compares is no bool of Python's.
        return bool(answer) if type(answer).__module__ == "numpy" and type(answer).__name__ == "bool" else answer


class _ReferenceRule(_FunctionRule):
    """Asks a function for the right answer, and a benchmark's scorer whether the response has it."""

    def _ask(self, row: int) -> object:
        found = self.ask(self._record(row))
        if found is None:
            return self.wanted.unverifiable == "keep" or UNVERIFIABLE
        answers = [_text(answer) for answer in (found if isinstance(found, list | tuple) else [found])]
        if not answers or None in answers:
            raise TypeError(f"gave {found!r}; give a text, a number, a list of these, or None")
        score = plugins.built_in("scorers", self.wanted.scorer)().score(self.rows.column("response")[row], answers)
        return score[EXACT_MATCH] == 1 or f"right is {answers[0]}"


def _text(answer: object) -> str | None:
    """An answer as scorers have it; None where it is neither a text nor a number. 12.0 -> "12"."""
    if isinstance(answer, str):
        return answer or None
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real) or not math.isfinite(answer):
        return None
    return str(int(answer)) if answer == int(answer) else str(float(answer))


class _ClassRule(_UserRule):
    def __init__(
        self, reason: str, wanted: UserRule, plugin: Plugin, rows: "CorpusRows | OneRow", make: "Callable[[], Rule]"
    ):
        super().__init__(reason, wanted, plugin, rows)
        self.rule = self._guarded(make, "while it was made")

    def suspects(self):
        import numpy as np

        found = self._guarded(getattr(self.rule, "suspects", lambda: None), "in `suspects`")
        if found is None:
            return None
        mask = np.asarray(found)
        if mask.shape != (len(self.rows),) or mask.dtype != bool:
            raise self.plugin.fault(f"its `suspects` gave no array of {len(self.rows)} truth values")
        return mask

    def _ask(self, row: int) -> object:
        return self.rule.verdict(row)
