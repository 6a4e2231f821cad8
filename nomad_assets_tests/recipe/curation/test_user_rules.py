"""A user's filters and verifiers: what they may answer, when they judge, and what happens when they fail."""

from pathlib import Path

import polars as pl
import pytest

from nomad_assets.engine.tables import validate
from nomad_assets.errors import NomadError
from nomad_assets.plugins import locate_rules
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.curate import KEPT, reason_counts, reason_names, reasons, rule_verdicts
from nomad_assets.recipe.curation.rules.arithmetic import Arithmetic
from nomad_assets.recipe.generation.synthesis import COLUMNS
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets_tests.plugin_files import write_plugin

SEEDS = pl.DataFrame({"id": ["seed0"], "prompt": ["an unrelated seed"]})


def corpus(*prompts: str, **columns) -> pl.DataFrame:
    rows = [
        {"id": f"8/unmasked/{n:06d}-0", "attempt": n, "response_index": 0, "prompt_end": "completed", "response_end": "completed",
         "prompt": prompt, "response": "Lima", "final_answer": "lima", "agreement": 1.0, "majority_answer": True,
         "prompt_tokens": 3, "response_tokens": 2, "prompt_seed": n, "response_seed": n}
        for n, prompt in enumerate(prompts)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=COLUMNS).with_columns(**{k: pl.Series(v) for k, v in columns.items()})


def judged(folder: Path, source: str, rows: pl.DataFrame, verifiers: tuple = (), **curation) -> list[tuple]:
    """Verdicts with the functions and classes of mine.py: by default its `rule` as a filter."""
    write_plugin(folder, source)
    filters = curation.pop("filters", [{"use": "python:mine.py:rule"}])
    settings = Curation(**{"keep": 9, "filters": filters, "verifiers": list(verifiers), **curation})
    found = rule_verdicts(rows, SEEDS, [], settings, plugins=locate_rules(settings, folder))
    return [(v.reason, v.evidence, v.similarity) for v in found]


def problem(*arguments, **options) -> NomadError:
    with pytest.raises(NomadError) as caught:
        judged(*arguments, **options)
    return caught.value


PASSED = (KEPT, None, None)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("True", PASSED),
        ("None", PASSED),
        ("np.True_", PASSED),
        ("False", ("filter.rule", None, None)),
        ("np.bool_(False)", ("filter.rule", None, None)),
        ("'two words'", ("filter.rule", "two words", None)),
        ("Verdict('whatever', 'a twin', 0.5)", ("filter.rule", "a twin", 0.5)),
    ],
)
def test_what_a_function_answers(tmp_path: Path, answer: str, verdict: tuple) -> None:
    source = "import numpy as np\nfrom nomad_assets.recipe.curation.rule import Verdict\n"
    assert judged(tmp_path, f"{source}def rule(row): return {answer}\n", corpus("Who?")) == [verdict]


@pytest.mark.parametrize("answer", ["''", "1", "0.0", "[]", "row"])
def test_any_other_answer_is_an_error_that_names_the_row(tmp_path: Path, answer: str) -> None:
    error = problem(tmp_path, f"def rule(row): return {answer}\n", corpus("Who?"))
    assert str(error).startswith("curation.filters.0.use = 'python:mine.py:rule': it answered ")
    assert "for row 8/unmasked/000000-0; answer True or None (no objection), False, or a text" in str(error)
    assert error.cases[0]["prompt"] == "Who?"


def test_a_function_that_raises_is_an_error_that_names_it_and_the_row(tmp_path: Path) -> None:
    source = "def rule(row):\n    if row['prompt'] == 'Why?': raise KeyError('answer')\n"
    error = problem(tmp_path, source, corpus("Who?", "Why?"))
    assert str(error) == (
        "curation.filters.0.use = 'python:mine.py:rule': it raised KeyError: 'answer' (on row 8/unmasked/000001-0)"
    )
    assert [case["id"] for case in error.cases] == ["8/unmasked/000001-0"]


HANGS = {
    "a loop": "while True: pass",
    "a sleep": "time.sleep(600)",
    "a regular expression": "re.match('(a+)+b', 'a' * 60)",
    "one that catches exceptions": "stubborn()",
}
HANGING = """
import re, time

def stubborn():
    while True:
        try:
            time.sleep(600)
        except Exception:
            pass

def rule(row):
    if row["prompt"] == "Why?":
        {}

class Rule:
    def __init__(self, settings, rows):
        self.rows = rows

    def verdict(self, number):
        return rule(self.rows.table.row(number, named=True))

class Made(Rule):
    def __init__(self, settings, rows):
        {}
"""


@pytest.mark.parametrize("name", ["rule", "Rule"])
@pytest.mark.parametrize("hangs", HANGS)
def test_one_that_hangs_is_an_error_that_names_it_and_the_row(tmp_path: Path, hangs: str, name: str) -> None:
    filters = [{"use": f"python:mine.py:{name}", "seconds": 0.2}]
    source = HANGING.replace("{}", HANGS[hangs])
    error = problem(tmp_path, source, corpus("Who?", "Why?"), filters=filters)
    assert str(error) == (
        f"curation.filters.0.use = 'python:mine.py:{name}': it took longer than 0.2 seconds (on row 8/unmasked/000001-0); "
        "mend it, or give it more `seconds`"
    )
    assert [case["id"] for case in error.cases] == ["8/unmasked/000001-0"]


def test_a_class_that_is_never_made_is_an_error(tmp_path: Path) -> None:
    filters = [{"use": "python:mine.py:Made", "seconds": 0.2}]
    error = problem(tmp_path, HANGING.replace("{}", "time.sleep(600)"), corpus("Who?"), filters=filters)
    assert "it took longer than 0.2 seconds (while it was made)" in str(error)


def test_a_function_sees_all_columns_of_the_row_and_its_options(tmp_path: Path) -> None:
    source = "def rule(row, fewest, words=()):\n    return f'{sorted(row)} {fewest} {words}'\n"
    filters = [{"use": "python:mine.py:rule", "options": {"fewest": 3, "words": ["a", "b"]}}]
    ((_, evidence, _),) = judged(tmp_path, source, corpus("Who?"), filters=filters)
    assert evidence == f"{sorted(COLUMNS)} 3 ['a', 'b']"


def test_options_that_it_does_not_take_are_an_error_before_any_row(tmp_path: Path) -> None:
    filters = [{"use": "python:mine.py:rule", "options": {"fewst": 3}}]
    error = problem(tmp_path, "def rule(row, fewest=1): ...\n", corpus(), filters=filters)
    assert "it does not take a row and the options {'fewst': 3}: got an unexpected keyword argument 'fewst'" in str(
        error
    )


CLASS = """
from nomad_assets.profile.fields import Count, Section
from nomad_assets.recipe.curation.rule import Rule, Verdict

class Short(Rule):
    reasons = {"short": "it is short"}

    class Settings(Section):
        fewest: Count = 2

    def suspects(self):
        return self.rows.table["prompt"].str.ends_with("?").to_numpy()

    def verdict(self, row):
        words = len(self.rows.column("prompt")[row].split())
        return Verdict("short", f"{words} words") if words < self.settings.fewest else None

class Bare:
    def __init__(self, settings, rows):
        self.rows = rows

    def verdict(self, row):
        return self.rows.column("prompt")[row] != "Why?"

class Dies(Bare):
    def __init__(self, settings, rows):
        raise OSError("no file")

class Mute:
    pass

class Odd(Bare):
    def suspects(self):
        return [True]

number = 3
"""


def test_a_class_is_asked_like_a_built_in_rule(tmp_path: Path) -> None:
    rows = corpus("Who?", "Who is it?", "Stop", "Why?")
    filters = [
        {"use": "python:mine.py:Short", "name": "brief", "options": {"fewest": 3}},
        {"use": "python:mine.py:Bare"},
    ]
    assert judged(tmp_path, CLASS, rows, filters=filters) == [
        ("filter.brief", "1 words", None), PASSED, PASSED, ("filter.brief", "1 words", None),
    ]  # fmt: skip
    assert judged(tmp_path, CLASS, rows, filters=filters[1:])[3] == ("filter.Bare", None, None)


@pytest.mark.parametrize(
    ("use", "options", "words"),
    [
        ("Short", {"fewest": 0}, "options.fewest = 0: Input should be greater than or equal to 1; it takes fewest"),
        ("Short", {"most": 3}, "options.most = 3: Extra inputs are not permitted; it takes fewest"),
        ("Bare", {"most": 3}, "options.most = 3: Extra inputs are not permitted; it takes none"),
        ("Dies", {}, "it raised OSError: no file (while it was made)"),
        ("Mute", {}, "the class has no method `verdict(row)`"),
        ("Odd", {}, "its `suspects` gave no array of 2 truth values"),
        ("number", {}, "it is int, not a function"),
    ],
)
def test_what_is_wrong_with_a_class_is_said(tmp_path: Path, use: str, options: dict, words: str) -> None:
    filters = [{"use": f"python:mine.py:{use}", "options": options}]
    error = problem(tmp_path, CLASS, corpus("Who?", "Why?"), filters=filters)
    assert str(error).startswith(f"curation.filters.0.use = 'python:mine.py:{use}': {words}")


def test_a_built_in_rule_can_be_named_like_a_users(tmp_path: Path) -> None:
    source = "from nomad_assets.recipe.curation.rules.arithmetic import Arithmetic\n"
    filters = [{"use": "python:mine.py:Arithmetic", "options": {"check_arithmetic": True}}]
    rows = corpus("Who?", "Why?", response=["1 + 1 = 3", "1 + 1 = 2"])
    assert judged(tmp_path, source, rows, filters=filters) == [("filter.Arithmetic", "1 + 1 = 3", None), PASSED]
    assert Arithmetic.Settings().check_arithmetic is False


# Verifiers that compute what is right.

SOLVES = """
import re
from fractions import Fraction

def solve(row, answer=None):
    found = re.fullmatch(r"What is (\\d+) \\+ (\\d+)\\?", row["prompt"])
    return eval(answer) if answer else int(found[1]) + int(found[2]) if found else None

class Solver:
    def __init__(self, settings, rows): ...
    def verdict(self, row): ...
"""


def compared(folder: Path, rows: pl.DataFrame, name: str = "solve", **verifier) -> list[tuple]:
    asked = {"use": f"python:mine.py:{name}", "name": "sum", "scorer": "gsm8k", **verifier}
    return judged(folder, SOLVES, rows, (asked,), filters=[])


def test_a_response_is_compared_with_what_a_program_computes_by_a_benchmarks_rule(tmp_path: Path) -> None:
    rows = corpus(
        "What is 2 + 3?", "What is 2 + 4?", "What is 999 + 1?", "What is 7 + 1?", "Who?",
        response=["2 + 3 = 5\n#### 5", "#### 7", "#### 1,000", "8", "#### 5"],
    )  # fmt: skip
    verdicts = [PASSED, ("verifier.sum", "right is 6", None), PASSED, ("verifier.sum", "right is 8", None)]
    assert compared(tmp_path, rows) == [*verdicts, ("verifier.sum", "it knows no right answer", None)]
    assert compared(tmp_path, rows, unverifiable="keep") == [*verdicts, PASSED]


@pytest.mark.parametrize(
    ("answer", "right"),
    [("5", True), ("5.0", True), ("'5'", True), ("['4', 5]", False), ("Fraction(10, 2)", True), ("6", False), ("5.5", False)],
)  # fmt: skip
def test_what_such_a_program_may_give(tmp_path: Path, answer: str, right: bool) -> None:
    found = compared(tmp_path, corpus("Who?", response=["#### 5"]), options={"answer": answer})
    assert (found == [PASSED]) == right
    asked = {"options": {"answer": "['Peru', 'Lima']"}, "scorer": "triviaqa"}
    assert compared(tmp_path, corpus("Where?"), **asked) == [PASSED], "a scorer of several answers takes any of them"


@pytest.mark.parametrize("answer", ["''", "[]", "True", "{}", "[None]", "float('nan')", "['a', True]"])
def test_anything_else_is_an_error(tmp_path: Path, answer: str) -> None:
    with pytest.raises(
        NomadError, match=r"curation\.verifiers\.0\.use = .*give a text, a number, a list .*\(on row 8/"
    ):
        compared(tmp_path, corpus("Who?"), options={"answer": answer})


def test_a_class_computes_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NomadError, match="with a `scorer` it has to be a function"):
        compared(tmp_path, corpus("Who?"), "Solver")


def test_a_scorer_that_does_not_come_with_the_package_is_refused() -> None:
    with pytest.raises(ValueError, match="Input should be 'gsm8k' or 'triviaqa'"):
        Curation(keep=1, verifiers=[{"use": "python:mine.py:solve", "scorer": "python:mine.py:score"}])


# When they judge.


def test_they_come_after_rules_on_single_rows_and_before_repeats(tmp_path: Path) -> None:
    source = "asked = []\ndef rule(row):\n    asked.append(row['id'][-3:])\n    return row['response'] != 'bad'\n"
    source += "def tell(row):\n    return ' '.join(asked)\n"
    rows = corpus("One?", "Two?", "Two?", "Who?", response=["1 + 1 = 3", "bad", "good", "good"])
    verdicts = judged(tmp_path, source, rows, verifiers=(), check_arithmetic=True)
    assert [reason for reason, *_ in verdicts] == ["wrong_arithmetic", "filter.rule", KEPT, KEPT], (
        "a dropped row is no twin"
    )
    told = judged(tmp_path, f"{source}\n", rows, verifiers=({"use": "python:mine.py:tell"},), check_arithmetic=True)
    assert told[2:] == [("verifier.tell", "1-0 2-0 3-0", None)] * 2, "filters first, and rows without verdict alone"


def test_reasons_stand_where_the_rules_judge(tmp_path: Path) -> None:
    settings = Curation(
        keep=1,
        filters=[{"use": "python:mine.py:a"}, {"use": "python:mine.py:b"}],
        verifiers=[{"use": "python:mine.py:a"}],
    )
    assert list(settings.user_rules()) == ["filter.a", "filter.b", "verifier.a"]
    names = reason_names(settings)
    assert names[names.index("unsupported_answer") :][:5] == (
        "unsupported_answer", "filter.a", "filter.b", "verifier.a", "exact_repeat",
    )  # fmt: skip
    assert reasons(settings)["filter.b"] == "dropped by `python:mine.py:b`"
    counted = pl.DataFrame({"reason": ["verifier.a", "exact_repeat", "filter.b", "kept", "filter.b"]})
    assert list(reason_counts(counted, settings).items()) == [
        ("kept", 1),
        ("filter.b", 2),
        ("verifier.a", 1),
        ("exact_repeat", 1),
    ]
    assert sum(reason_counts(counted).values()) == 5, "none is lost without the settings"


def test_settings_that_name_rules_are_not_judged_without_them() -> None:
    settings = Curation(keep=1, filters=[{"use": "python:mine.py:a"}])
    with pytest.raises(
        ValueError, match=r"name 1 filters and verifiers, 0 were given; give those of nomad_assets\.plugins"
    ):
        rule_verdicts(corpus("Who?"), SEEDS, [], settings)


@pytest.mark.parametrize(("reason", "right"), [("filter.too_short", True), ("verifier.a-b.c", True), ("filter.", False), ("filter.a/b", False), ("too_short", False)])  # fmt: skip
def test_the_contract_of_the_table_takes_their_reasons(reason: str, right: bool) -> None:
    table = corpus("Who?").with_columns(
        verdict=pl.lit("dropped"), reason=pl.lit(reason), evidence=pl.lit("x"), evidence_similarity=pl.lit(None, pl.Float64),
        nearest_seed=pl.lit("seed0"), normsim_2=0.5, normsim_inf=0.5, novelty=0.5, seed_similarity=0.5,
    )  # fmt: skip
    if right:
        validate(table, CuratedCorpus, "curated")
    else:
        with pytest.raises(NomadError, match="isin"):
            validate(table, CuratedCorpus, "curated")
