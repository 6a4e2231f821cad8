"""Benchmark questions: their contract."""

from nomad_assets.steps.benchmarks import BenchmarkQuestions
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    BenchmarkQuestions,
    ("id", "q2", "unique"),
    ("question", "", "str_length"),
    ("answers", [], "every_question_has_an_accepted_answer"),
    ("reference", "", "str_length"),
)
def test_the_questions_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)
