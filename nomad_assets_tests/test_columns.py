"""Column schemas and column lineage: what is named exists, nothing is left out, and Dagster takes it."""

import dagster as dg
import pytest

from nomad_assets.columns import MAIN, SOURCES, column_metadata, sources, table_schema
from nomad_assets.schemas import STORED
from nomad_assets.steps import STEPS


def named(asset: str) -> list[str]:
    return [column.name for column in table_schema(asset).columns]


def test_every_asset_with_a_table_is_covered_by_a_table_that_it_stores() -> None:
    assert set(SOURCES) == {*MAIN, "recipe_report"} == set(STEPS) - {"base_model"}
    for asset, schema in MAIN.items():
        assert schema in STORED[asset].values(), asset


@pytest.mark.parametrize("asset", SOURCES)
def test_every_column_has_an_origin_and_every_origin_exists(asset: str) -> None:
    assert sorted(SOURCES[asset]) == sorted(named(asset))
    for column, (pairs, _) in sources(asset).items():
        assert len(set(pairs)) == len(pairs), column
        for parent, name in pairs:
            assert parent in STEPS[asset].parents, f"{column} of {asset}"
            assert name in named(parent), f"{column} of {asset}"


def test_a_copied_column_has_the_type_of_what_it_is_a_copy_of() -> None:
    copies = 0
    for asset in SOURCES:
        types = {column.name: column.type for column in table_schema(asset).columns}
        for column, ([(parent, name), *_], copied) in sources(asset).items():
            if copied:
                assert types[column] == {c.name: c.type for c in table_schema(parent).columns}[name]
                copies += 1
    assert copies == 5 + 14 + 3 * 2


def test_a_worked_example_of_the_table() -> None:
    assert sources("curated_corpus")["nearest_seed"] == (
        [("synthetic_corpus", "prompt"), ("seed_subset", "prompt"), ("seed_subset", "id")],
        False,
    )
    assert sources("student_scores")["question_id"] == ([("benchmark_questions", "id")], True)
    assert sources("synthetic_corpus") == {}


def test_dagster_takes_the_metadata_and_gives_it_back() -> None:
    def materialise(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=list(STEPS[name].parents))
        def run() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata=column_metadata(name))

        return run

    result = dg.materialize([materialise(name) for name in STEPS], instance=dg.DagsterInstance.ephemeral())
    given = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    given = {name: {k: v.value for k, v in m.items() if k.startswith("dagster/column")} for name, m in given.items()}
    assert given["base_model"] == {}
    subset = given["seed_subset"]["dagster/column_schema"].columns
    assert subset[0] == dg.TableColumn(
        "id", "String", "id of the seed row", dg.TableColumnConstraints(nullable=False, unique=True)
    )
    curated = given["curated_corpus"]["dagster/column_lineage"].deps_by_column
    assert set(curated["novelty"]) == {
        dg.TableColumnDep("synthetic_corpus", "prompt"), dg.TableColumnDep("seed_subset", "prompt"),
    }  # fmt: skip
    assert "dagster/column_lineage" not in given["synthetic_corpus"]
    assert len(given["recipe_report"]["dagster/column_lineage"].deps_by_column["difference"]) == 3 * 4
