"""Where the columns of stored tables come from: what is named exists, and nothing is left out."""

import pytest

from nomad_assets.steps import GRAPH

WITH_TABLES = [name for name, step in GRAPH.items() if step.main is not None]


def types_of(asset: str) -> dict[str, str]:
    return {name: str(column.dtype) for name, column in GRAPH[asset].main.to_schema().columns.items()}


def test_every_step_but_the_base_model_has_a_main_table() -> None:
    assert set(GRAPH) - set(WITH_TABLES) == {"base_model"}


@pytest.mark.parametrize("asset", WITH_TABLES)
def test_every_column_is_described_and_every_origin_exists(asset: str) -> None:
    assert all(column.description for column in GRAPH[asset].main.to_schema().columns.values())
    for column, (pairs, copied) in GRAPH.column_sources(asset).items():
        assert len(set(pairs)) == len(pairs) and (len(pairs) == 1 or not copied), column
        for parent, name in pairs:
            assert parent in GRAPH[asset].inputs and name in types_of(parent), f"{column} of {asset}"


@pytest.mark.parametrize("asset", WITH_TABLES)
def test_every_origin_that_is_written_down_is_found(asset: str) -> None:
    """A column's sources must not silently come to nothing, say after a parent was renamed."""
    found = GRAPH.column_sources(asset)
    for name, column in GRAPH[asset].main.to_schema().columns.items():
        facts = column.metadata or {}
        named = [facts["copy_of"]] if facts.get("copy_of") else list(facts.get("computed_from", ()))
        assert len(found.get(name, ([],))[0]) >= (1 if named else 0), name


def test_a_copied_column_has_the_type_of_what_it_is_a_copy_of() -> None:
    copies = 0
    for asset in WITH_TABLES:
        for column, ([(parent, name), *_], copied) in GRAPH.column_sources(asset).items():
            if copied:
                assert types_of(asset)[column] == types_of(parent)[name]
                copies += 1
    assert copies == 5 + 14 + 3 * 2


def test_worked_examples() -> None:
    assert GRAPH.column_sources("curated_corpus")["nearest_seed"] == (
        [("synthetic_corpus", "prompt"), ("seed_subset", "prompt"), ("seed_subset", "id")], False,
    )  # fmt: skip
    assert GRAPH.column_sources("student_scores")["question_id"] == ([("benchmark_questions", "id")], True)
    assert GRAPH.column_sources("synthetic_corpus") == {}
    assert len(GRAPH.column_sources("recipe_report")["difference"][0]) == 3 * 4
    both = [
        ("curated_corpus", "prompt"),
        ("curated_corpus", "response"),
        ("seed_subset", "prompt"),
        ("seed_subset", "response"),
    ]
    assert sorted(GRAPH.column_sources("student_model")["tokens"][0]) == both
    assert sorted(GRAPH.column_sources("control_model")["tokens"][0]) == both[2:]
