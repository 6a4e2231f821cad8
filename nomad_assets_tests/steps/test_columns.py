"""Columns of the main tables: what they are said to come from exists, and nothing is left out."""

import pytest

from nomad_assets.engine.tables import columns
from nomad_assets.steps import GRAPH

WITH_A_TABLE = [step.name for step in GRAPH.values() if step.main is not None]
# Made in the step itself: from files outside, or by a model.
MADE_BY_THE_STEP = {
    "seed_examples": set(columns(GRAPH["seed_examples"].main)),
    "benchmark_questions": set(columns(GRAPH["benchmark_questions"].main)),
    "synthetic_corpus": set(columns(GRAPH["synthetic_corpus"].main)),
    "corpus_profile": {"metric"},
    "student_scores": {"metric"},
    "control_scores": {"metric"},
    "base_scores": {"metric"},
    "headroom_scores": {"curve", "point", "replicate", "metric"},
    "headroom_report": {"a", "b"},
    "recipe_report": {"comparison", "a", "b", "train_size", "measure"},
}


def types(asset: str) -> dict[str, str]:
    return {name: str(column.dtype) for name, column in GRAPH[asset].main.to_schema().columns.items()}


def test_every_asset_but_the_base_model_has_a_main_table() -> None:
    assert {*WITH_A_TABLE, "base_model"} == set(GRAPH)
    assert GRAPH.column_sources("base_model") == {}


@pytest.mark.parametrize("asset", WITH_A_TABLE)
def test_every_column_has_an_origin_and_every_origin_exists(asset: str) -> None:
    sources = GRAPH.column_sources(asset)
    assert set(sources) == set(columns(GRAPH[asset].main)) - MADE_BY_THE_STEP.get(asset, set())
    for column, (pairs, _) in sources.items():
        assert len(set(pairs)) == len(pairs), column
        for parent, name in pairs:
            assert parent in GRAPH[asset].inputs, f"{column} of {asset}"
            assert name in types(parent), f"{column} of {asset}"


@pytest.mark.parametrize("asset", WITH_A_TABLE)
def test_every_origin_that_is_named_is_an_input_that_is_read(asset: str) -> None:
    """A name that resolves to nothing would be passed over. Score tables are shared, and a question has one origin in each."""
    for column, spec in GRAPH[asset].main.to_schema().columns.items():
        facts = spec.metadata or {}
        named = [facts["copy_of"]] if facts.get("copy_of") else facts.get("computed_from", ())
        for source in named:
            parent, _, name = source.rpartition(".")
            if parent:
                read = GRAPH[asset].inputs[parent]
                view = read.tables[GRAPH[parent].main]
                # A choice of rows looks at columns that it does not give.
                assert view.columns is None or view.rows or name in view.columns, f"{column} of {asset}: {source}"
            else:
                assert any(name in types(p) for p in GRAPH[asset].inputs if GRAPH[p].main), f"{column} of {asset}"


def test_a_copied_column_has_the_type_of_what_it_is_a_copy_of() -> None:
    copies = 0
    for asset in WITH_A_TABLE:
        for column, ([(parent, name), *_], copied) in GRAPH.column_sources(asset).items():
            if copied:
                assert types(asset)[column] == types(parent)[name]
                copies += 1
    assert copies == 5 + 14 + 3 * 2 + 3


def test_a_worked_example_of_the_table() -> None:
    assert GRAPH.column_sources("curated_corpus")["nearest_seed"] == (
        [("synthetic_corpus", "prompt"), ("seed_subset", "prompt"), ("seed_subset", "id")],
        False,
    )
    assert GRAPH.column_sources("student_scores")["question_id"] == ([("benchmark_questions", "id")], True)
    assert GRAPH.column_sources("synthetic_corpus") == {}
    assert GRAPH.column_sources("student_model")["id"] == ([("curated_corpus", "id"), ("seed_examples", "id")], False)
    assert GRAPH.column_sources("control_model")["id"] == ([("seed_examples", "id")], False)
