"""Changed code needs a new version, or somebody who says that the content stays the same."""

import ast

import pytest

from nomad_assets.steps import GRAPH
from nomad_assets_tests.steps import code_table
from nomad_assets_tests.steps.code_table import code_digest, differences, read_table


def test_every_step_runs_the_code_that_its_version_was_given_for() -> None:
    assert differences(read_table()) == {}


def changed(monkeypatch: pytest.MonkeyPatch, module: str, before: str, after: str) -> None:
    """The module's source with one piece exchanged, as the table reads it."""
    text = ast.unparse(code_table._tree(module))
    assert before in text
    _forget()
    tree = code_table._tree.__wrapped__
    monkeypatch.setattr(
        code_table, "_tree", lambda name: ast.parse(text.replace(before, after)) if name == module else tree(name)
    )


def _forget() -> None:
    for cached in (code_table._index, code_table._read, code_table._module_imports):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    yield
    _forget()


def steps_that_differ() -> set[str]:
    return set(differences(read_table()))


def test_a_changed_rule_far_below_a_body_is_noticed_where_it_runs_and_nowhere_else(monkeypatch) -> None:
    """The profile of a corpus and the report ask rules for signs of error; which rules these are is code of all of them."""
    changed(monkeypatch, "nomad_assets.recipe.curation.contamination", "COVERAGE = 0.5", "COVERAGE = 0.6")
    assert steps_that_differ() == {"seed_examples", "curated_corpus", "corpus_profile", "recipe_report"}


def test_a_changed_loss_concerns_every_trained_model(monkeypatch) -> None:
    changed(
        monkeypatch, "nomad_assets.recipe.training.trainer", "batch['weights'] / total_weight", "batch['weights'] / 2"
    )
    assert steps_that_differ() == {"teacher_model", "student_model", "control_model", "headroom_scores"}


def test_the_choice_of_rows_is_code_of_the_step_that_reads(monkeypatch) -> None:
    changed(monkeypatch, "nomad_assets.steps.students", "== 'kept'", "!= 'kept'")
    assert steps_that_differ() == {"student_model"}


def test_comments_docstrings_and_contracts_change_nothing(monkeypatch) -> None:
    changed(monkeypatch, "nomad_assets.steps.seeds", "why the pool does not hold it", "why it is not in the pool")
    assert steps_that_differ() == set()


def test_a_new_version_is_asked_to_be_taken_over() -> None:
    table = read_table()
    table["seed_subset"] = {**table["seed_subset"], "version": "1"}
    assert "take it over" in differences(table)["seed_subset"]


def test_the_digest_is_the_same_every_time() -> None:
    step = GRAPH["curated_corpus"]
    assert code_digest(step) == code_digest(step)
