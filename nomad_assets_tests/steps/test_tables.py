"""Every contract accepts a right table and refuses a wrong one, with counts and cases. The breaches of each contract's own
rules are tried beside its step."""

import polars as pl
import pytest

from nomad_assets_tests.steps.right_tables import CONTRACTS, CURVE, RIGHT, accepted, refused


def test_every_contract_is_tried_here():
    assert set(CONTRACTS) == set(RIGHT)


@pytest.mark.parametrize("contract", RIGHT)
def test_a_right_table_comes_back_as_it_is(contract):
    assert accepted(RIGHT[contract], contract).equals(RIGHT[contract])


@pytest.mark.parametrize("contract", RIGHT)
def test_an_empty_table_conforms(contract):
    assert accepted(RIGHT[contract].clear(), contract).height == 0


@pytest.mark.parametrize("contract", RIGHT)
def test_every_column_says_what_it_means(contract):
    columns = CONTRACTS[contract].to_schema().columns
    assert [name for name, column in columns.items() if not column.description] == []


@pytest.mark.parametrize("contract", RIGHT)
def test_a_column_too_few_or_too_many_is_named(contract):
    table = RIGHT[contract]
    gone = table.columns[-1]
    error = refused(table.drop(gone), contract)
    assert "column_in_dataframe" in str(error)
    assert any(gone in str(case.values()) for case in error.cases), error.cases
    error = refused(table.with_columns(colour=pl.lit("red")), contract)
    assert "column_in_schema" in str(error)
    assert any("colour" in str(case.values()) for case in error.cases), error.cases


@pytest.mark.parametrize("contract", RIGHT)
def test_a_column_of_another_type_is_refused(contract):
    table = RIGHT[contract]
    for column in table.columns:
        other = pl.lit("yes") if table.schema[column] == pl.Boolean else pl.lit(True)
        error = refused(table.with_columns(other.alias(column)), contract)
        assert any(case["column"] == column and "dtype" in case["check"] for case in error.cases), (column, error.cases)


NULLABLE = {
    "SeedExamples": {"source_id"},
    "SyntheticCorpus": {"response", "final_answer", "agreement", "majority_answer", "response_seed"},
    "ProfileMetrics": {"value"},
    "SeedPoints": {"relevance", "novelty"},
    "HeadroomContrasts": {"p"},
    "Comparisons": {"train_size", "benchmark", "metric", "unit", "p", "p_flips"},
}
NULLABLE["CuratedCorpus"] = NULLABLE["SyntheticCorpus"] | {
    "evidence", "evidence_similarity", "nearest_seed", "normsim_2", "normsim_inf", "novelty", "seed_similarity",
}  # fmt: skip


@pytest.mark.parametrize("contract", RIGHT)
def test_a_missing_value_is_refused_where_it_has_no_meaning(contract):
    table = RIGHT[contract].head(1)
    for column in table.columns:
        holes = table.with_columns(pl.lit(None, dtype=table.schema[column]).alias(column))
        if column in NULLABLE.get(contract, set()):
            accepted(holes, contract)
        else:
            assert any("null" in rule for rule in refused(holes, contract).counts), column


def test_a_breach_of_several_rules_names_each_with_its_count():
    table = CURVE.with_columns(loss=pl.Series([-1.0, -2.0]), grad_norm=pl.Series([-1.0, 0.0]), step=pl.Series([0, 2]))
    error = refused(table, "TrainingCurve")
    assert error.counts == {"greater_than_or_equal_to(0)": 3, "greater_than_or_equal_to(1)": 1}
    assert str(error).endswith(
        "TrainingCurve: greater_than_or_equal_to(0) (3 rows), greater_than_or_equal_to(1) (1 rows)"
    )
    assert {(case["column"], case["failure_case"]) for case in error.cases} == {
        ("loss", "-1.0"),
        ("loss", "-2.0"),
        ("grad_norm", "-1.0"),
        ("step", "0"),
    }


def test_many_breaches_are_counted_in_full_and_shown_in_part():
    table = pl.DataFrame(
        {"id": [str(n) for n in range(500)], "tokens": [0] * 500, "supervised_tokens": [1] * 500, "used": [True] * 500}
    )
    error = refused(table, "TrainingRows")
    assert error.counts == {"greater_than_or_equal_to(1)": 500}
    assert len(error.cases) == 20
    assert error.cases[0]["failure_case"] == "0"
    assert error.cases[0]["index"] == "0"
