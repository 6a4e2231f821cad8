"""A user's scorer: what it may answer, and what happens when it fails."""

from pathlib import Path

import pytest

from nomad_assets.errors import NomadError
from nomad_assets.plugins import locate
from nomad_assets.recipe.data.record_formats import Row
from nomad_assets.recipe.data.sources import Rows
from nomad_assets.recipe.evaluation.benchmarks import local_task, question_table, scorer_of
from nomad_assets.recipe.evaluation.scorer import PluginScorer
from nomad_assets_tests.plugin_files import write_plugin

ROWS = Rows([Row("q.jsonl", 1, None, "River?", "Nile", ("Nile", "The Nile")), Row("q.jsonl", 2, None, "City?", "Lima")])


def opened(folder: Path, source: str, name: str = "rule") -> PluginScorer:
    write_plugin(folder, source)
    use = f"python:mine.py:{name}"
    return scorer_of(use, locate("scorers", use, folder, "benchmarks.trivia.rule"))


def problem(work) -> NomadError:
    with pytest.raises(NomadError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize(
    ("answer", "metrics"),
    [
        ("response in answers", {"exact_match": 1.0}),
        ("0.5", {"exact_match": 0.5}),
        ("np.float32(0.5)", {"exact_match": 0.5}),
        ("np.True_", {"exact_match": 1.0}),
        ("{'points': 7, 'exact_match': False}", {"points": 7.0, "exact_match": 0.0}),
    ],
)
def test_what_a_function_answers(tmp_path: Path, answer: str, metrics: dict) -> None:
    scorer = opened(tmp_path, f"import numpy as np\ndef rule(response, answers): return {answer}\n")
    assert list(scorer.score_question("q1", "Nile", ["Nile"]).items()) == list(metrics.items())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("None", "its metric exact_match is None (on question q1); give a finite number"),
        ("float('nan')", "its metric exact_match is nan"),
        ("'yes'", "its metric exact_match is 'yes'"),
        ("2", "its metric exact_match is 2 (on question q1); a metric of that name lies in [0, 1]"),
        ("{'a b': 1}", "its metric 'a b' (on question q1): use letters"),
        ("{3: 1}", "its metric 3 (on question q1)"),
        ("{}", "it gave the metrics none on question q1"),
        ("1 / 0", "it raised ZeroDivisionError: division by zero (on question q1)"),
    ],
)
def test_what_is_wrong_names_the_question(tmp_path: Path, answer: str, words: str) -> None:
    scorer = opened(tmp_path, f"def rule(response, answers): return {answer}\n")
    error = problem(lambda: scorer.score_question("q1", "Nile", ["Nile", "The Nile"]))
    assert str(error).startswith(f"benchmarks.trivia.rule = 'python:mine.py:rule': {words}")
    assert error.cases == [{"question": "q1", "response": "Nile", "answers": "Nile, The Nile"}]


def test_every_question_gets_the_same_metrics(tmp_path: Path) -> None:
    scorer = opened(tmp_path, "def rule(response, answers): return {'a': 1, 'b': 2} if response else {'a': 1}\n")
    table = question_table("trivia", scorer, ROWS)
    task = local_task("trivia", scorer, table, 8)
    assert [metric["metric"] for metric in task["metric_list"]] == ["a", "b"]
    doc = table.row(1, named=True)
    assert task["process_results"](doc, ["x"]) == {"a": 1.0, "b": 2.0}
    words = f"it gave the metrics a on question {doc['id']}, and a, b before; give the same ones for every question"
    assert words in str(problem(lambda: task["process_results"](doc, [""])))


def test_a_class_may_say_which_answers_it_accepts(tmp_path: Path) -> None:
    source = "class Last:\n    def accepted(self, row): return [row.response[-1]] if row.number == 1 else []\n"
    source += "    def score(self, response, answers): return response[-1:] == answers[0]\n"
    scorer = opened(tmp_path, source, "Last")
    assert question_table("t", scorer, Rows(ROWS.rows[:1]))["answers"].to_list() == [["e"]]
    assert scorer.score_question("q", "awe", ["e"]) == {"exact_match": 1.0}
    message = str(problem(lambda: question_table("t", scorer, ROWS)))
    assert message.endswith("its `accepted` gave [] (on q.jsonl row 2); give at least one text")


def test_a_metric_that_is_measured_anyway_is_refused(tmp_path: Path) -> None:
    scorer = opened(tmp_path, "def rule(response, answers): return {'answer_logprob': 1}\n")
    message = str(problem(lambda: local_task("trivia", scorer, question_table("trivia", scorer, ROWS), 8)))
    assert message.startswith("benchmarks.trivia: its scorer gives answer_logprob")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rule = 3\n", "it is int, not a function (response, answers)"),
        ("class rule:\n    pass\n", "it is rule, not a function (response, answers)"),
        (
            "class rule:\n    def __init__(self): raise OSError('no file')\n",
            "it raised OSError: no file (while it was made)",
        ),
    ],
)
def test_what_is_no_scorer_is_said(tmp_path: Path, source: str, words: str) -> None:
    assert words in str(problem(lambda: opened(tmp_path, source)))


def test_a_plug_in_is_not_scored_by_its_name_alone() -> None:
    assert "must be located before" in str(problem(lambda: scorer_of("python:mine.py:rule")))
