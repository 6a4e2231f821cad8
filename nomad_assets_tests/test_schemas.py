"""Every contract accepts a right table and refuses the breach of each of its rules, with counts and cases."""

import polars as pl
import pytest

from nomad_assets import schemas
from nomad_assets.errors import NomadError
from nomad_assets.recipe.generation.synthesis import COLUMNS

SEEDS = pl.DataFrame({
    "id": ["0123456789abcdef", "fedcba9876543210"], "position": [0, 1], "prompt": ["p", "q"], "response": ["r", "s"],
    "source": ["a", "a"], "source_row": [1, 2], "source_id": ["x", None],
})  # fmt: skip
LEFT_OUT = pl.DataFrame(
    {
        "source": ["a", "a", "a"],
        "row": [1, 2, 3],
        "reason": ["not_single_turn", "repeat", "benchmark_question"],
        "evidence": ["", "", ""],
    }
)
QUESTIONS = pl.DataFrame(
    {
        "id": ["q1", "q2"],
        "benchmark": ["b", "b"],
        "question": ["x", "y"],
        "answers": [["a"], ["b", "c"]],
        "reference": ["a", "b"],
    }
)
CURVE = pl.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "learning_rate": [0.1, 0.0], "grad_norm": [1.0, 0.5]})
SUBSET = SEEDS.drop("source_row", "source_id")
ROWS = pl.DataFrame({"id": ["a", "b"], "tokens": [9, 9000], "supervised_tokens": [4, 0], "used": [True, False]})
CORPUS = pl.DataFrame(
    [
        ["c/000000-0", 0, 0, "completed", "completed", "p", "r", "r", 1.0, True, 2, 2, 5, 6],
        ["c/000001-0", 1, 0, "length", "not_attempted", "p", None, None, None, None, 9, 0, 7, None],
        ["c/000002-0", 2, 0, "completed", "malformed", "q", "", None, 0.0, False, 2, 1, 8, 9],
    ],
    schema=COLUMNS, orient="row",
)  # fmt: skip
CURATED = CORPUS.with_columns(
    verdict=pl.Series(["kept", "dropped", "dropped"]), reason=pl.Series(["kept", "not_completed", "over_target"]),
    evidence=pl.Series([None, "prompt: length", "8 rows are kept"]), evidence_similarity=pl.Series([None, None, 0.5], dtype=pl.Float64),
    nearest_seed=pl.Series(["s", None, "s"]), normsim_2=pl.Series([0.3, None, 0.0]), normsim_inf=pl.Series([0.9, None, 1.0]),
    novelty=pl.Series([0.1, None, 1.9]), seed_similarity=pl.Series([0.9, None, -0.9]),
)  # fmt: skip
POINTS = pl.DataFrame(
    {"id": ["s", "s1"], "relevance": [0.5, None], "novelty": [None, 1.0]},
    schema_overrides={"relevance": pl.Float64, "novelty": pl.Float64},
)
NOVELTY = pl.DataFrame({"rows": [1, 2], "novelty": [0.5, 0.4]})
METRICS = pl.DataFrame({"metric": ["kept", "relevance"], "value": [3.0, None]})
RESULTS = pl.DataFrame({
    "benchmark": ["b"] * 5, "question_id": ["q", "q", "q", "q", "q2"],
    "metric": ["exact_match", "f1", "lm_eval_strict", "answer_logprob", "exact_match"], "value": [1.0, 0.5, 0.0, -3.0, 0.0],
})  # fmt: skip
RESPONSES = pl.DataFrame({name: ["x"] for name in ("benchmark", "question_id", "question", "response", "reference")})
SCORES = pl.DataFrame({"benchmark": ["b"], "metric": ["f1"], "n": [3], "mean": [0.5], "low": [0.5], "high": [0.9]})

RIGHT = {
    "SeedExamples": SEEDS, "LeftOut": LEFT_OUT, "BenchmarkQuestions": QUESTIONS, "TrainingCurve": CURVE,
    "SeedSubset": SUBSET, "TrainingRows": ROWS,
    "SyntheticCorpus": CORPUS, "CuratedCorpus": CURATED, "SeedPoints": POINTS, "NoveltyCurve": NOVELTY, "ProfileMetrics": METRICS,
    "QuestionResults": RESULTS, "Responses": RESPONSES, "Scores": SCORES,
}  # fmt: skip


def breach(table: pl.DataFrame, schema: str) -> NomadError:
    with pytest.raises(NomadError) as caught:
        schemas.validate(table, getattr(schemas, schema), "synthetic_corpus [8/masked] rows.parquet")
    assert str(caught.value).startswith(
        f"synthetic_corpus [8/masked] rows.parquet: the table breaks its contract {schema}: "
    )
    return caught.value


def test_every_contract_is_tried_here():
    contracts = {
        name for name, thing in vars(schemas).items()
        if isinstance(thing, type) and issubclass(thing, schemas.Table) and thing is not schemas.Table
    }  # fmt: skip
    assert contracts == set(RIGHT)


@pytest.mark.parametrize("schema", RIGHT)
def test_a_right_table_comes_back_as_it_is(schema):
    assert schemas.validate(RIGHT[schema], getattr(schemas, schema), "place").equals(RIGHT[schema])


@pytest.mark.parametrize("schema", RIGHT)
def test_an_empty_table_conforms(schema):
    assert schemas.validate(RIGHT[schema].clear(), getattr(schemas, schema), "place").height == 0


@pytest.mark.parametrize("schema", RIGHT)
def test_a_column_too_few_or_too_many_is_named(schema):
    table = RIGHT[schema]
    gone = table.columns[-1]
    error = breach(table.drop(gone), schema)
    assert "column_in_dataframe" in str(error)
    assert any(gone in str(case.values()) for case in error.cases), error.cases
    error = breach(table.with_columns(colour=pl.lit("red")), schema)
    assert "column_in_schema" in str(error)
    assert any("colour" in str(case.values()) for case in error.cases), error.cases


@pytest.mark.parametrize("schema", RIGHT)
def test_a_column_of_another_type_is_refused(schema):
    table = RIGHT[schema]
    for column in table.columns:
        other = pl.lit("yes") if table.schema[column] == pl.Boolean else pl.lit(True)
        error = breach(table.with_columns(other.alias(column)), schema)
        assert any(case["column"] == column and "dtype" in case["check"] for case in error.cases), (column, error.cases)


NULLABLE = {
    "SeedExamples": {"source_id"},
    "SyntheticCorpus": {"response", "final_answer", "agreement", "majority_answer", "response_seed"},
    "ProfileMetrics": {"value"},
    "SeedPoints": {"relevance", "novelty"},
}
NULLABLE["CuratedCorpus"] = NULLABLE["SyntheticCorpus"] | {
    "evidence", "evidence_similarity", "nearest_seed", "normsim_2", "normsim_inf", "novelty", "seed_similarity",
}  # fmt: skip


@pytest.mark.parametrize("schema", RIGHT)
def test_a_missing_value_is_refused_where_it_has_no_meaning(schema):
    table = RIGHT[schema].head(1)
    for column in table.columns:
        holes = table.with_columns(pl.lit(None, dtype=table.schema[column]).alias(column))
        if column in NULLABLE.get(schema, set()):
            schemas.validate(holes, getattr(schemas, schema), "place")
        else:
            assert any("null" in rule for rule in breach(holes, schema).counts), column


def first(table: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    """The table with another value in the first row of a column."""
    series = table[column].to_list()
    return table.with_columns(pl.Series(column, [value, *series[1:]], dtype=table.schema[column]))


@pytest.mark.parametrize(
    ("schema", "column", "value", "rule"),
    [
        ("SeedExamples", "id", "short", "str_length"),
        ("SeedExamples", "id", "fedcba9876543210", "unique"),
        ("SeedExamples", "position", -1, "greater_than_or_equal_to(0)"),
        ("SeedExamples", "position", 1, "unique"),
        ("SeedExamples", "prompt", "", "str_length"),
        ("SeedExamples", "response", "", "str_length"),
        ("SeedExamples", "source_row", 0, "greater_than_or_equal_to(1)"),
        ("LeftOut", "reason", "bored", "isin"),
        ("LeftOut", "row", 0, "greater_than_or_equal_to(1)"),
        ("BenchmarkQuestions", "id", "q2", "unique"),
        ("BenchmarkQuestions", "question", "", "str_length"),
        ("BenchmarkQuestions", "answers", [], "every_question_has_an_accepted_answer"),
        ("BenchmarkQuestions", "reference", "", "str_length"),
        ("TrainingCurve", "step", 0, "greater_than_or_equal_to(1)"),
        ("TrainingCurve", "step", 2, "unique"),
        ("TrainingCurve", "loss", -0.1, "greater_than_or_equal_to(0)"),
        ("TrainingCurve", "loss", float("nan"), "not_nullable"),
        ("TrainingCurve", "loss", float("inf"), "less_than(inf)"),
        ("TrainingCurve", "learning_rate", -0.1, "greater_than_or_equal_to(0)"),
        ("TrainingCurve", "grad_norm", float("nan"), "not_nullable"),
        ("TrainingCurve", "grad_norm", float("inf"), "less_than(inf)"),
        ("SeedSubset", "id", "fedcba9876543210", "unique"),
        ("SeedSubset", "prompt", "", "str_length"),
        ("TrainingRows", "tokens", 0, "greater_than_or_equal_to(1)"),
        ("TrainingRows", "supervised_tokens", -1, "greater_than_or_equal_to(0)"),
        ("TrainingRows", "supervised_tokens", 0, "every_used_row_has_a_supervised_token"),
        ("SyntheticCorpus", "id", "c/000001-0", "unique"),
        ("SyntheticCorpus", "attempt", -1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "response_index", -1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "prompt_end", "not_attempted", "isin"),
        ("SyntheticCorpus", "prompt_end", "length", "only_proper_prompts_are_answered"),
        ("SyntheticCorpus", "response_end", "done", "isin"),
        ("SyntheticCorpus", "response_end", "not_attempted", "only_proper_prompts_are_answered"),
        ("SyntheticCorpus", "agreement", 1.1, "less_than_or_equal_to(1)"),
        ("SyntheticCorpus", "agreement", -0.1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "prompt_tokens", -1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "response_tokens", -1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "prompt_seed", -1, "greater_than_or_equal_to(0)"),
        ("SyntheticCorpus", "response_seed", -1, "greater_than_or_equal_to(0)"),
        ("CuratedCorpus", "verdict", "maybe", "isin"),
        ("CuratedCorpus", "verdict", "dropped", "kept_means_no_objection"),
        ("CuratedCorpus", "reason", "bored", "isin"),
        ("CuratedCorpus", "reason", "over_target", "kept_means_no_objection"),
        ("CuratedCorpus", "normsim_2", 1.01, "less_than_or_equal_to(1)"),
        ("CuratedCorpus", "normsim_inf", -0.01, "greater_than_or_equal_to(0)"),
        ("CuratedCorpus", "novelty", 2.1, "less_than_or_equal_to(2)"),
        ("CuratedCorpus", "novelty", -0.1, "greater_than_or_equal_to"),
        ("CuratedCorpus", "seed_similarity", -1.1, "greater_than_or_equal_to(-1)"),
        ("CuratedCorpus", "response_end", "not_attempted", "only_proper_prompts_are_answered"),
        ("SeedPoints", "id", "s1", "unique"),
        ("SeedPoints", "relevance", 1.1, "less_than_or_equal_to(1)"),
        ("SeedPoints", "novelty", 2.1, "less_than_or_equal_to(2)"),
        ("NoveltyCurve", "rows", 0, "greater_than_or_equal_to(1)"),
        ("NoveltyCurve", "rows", 2, "unique"),
        ("NoveltyCurve", "novelty", 2.1, "less_than_or_equal_to(2)"),
        ("ProfileMetrics", "metric", "relevance", "unique"),
        ("QuestionResults", "question_id", "q2", "every_question_once_per_metric"),
        ("QuestionResults", "value", 1.1, "local_scores_are_shares_and_log_probabilities_negative"),
        ("QuestionResults", "value", -0.1, "local_scores_are_shares_and_log_probabilities_negative"),
        ("QuestionResults", "value", float("nan"), "local_scores_are_shares_and_log_probabilities_negative"),
        ("QuestionResults", "metric", "answer_logprob", "local_scores_are_shares_and_log_probabilities_negative"),
        ("Scores", "n", 0, "greater_than_or_equal_to(1)"),
        ("Scores", "low", 0.6, "interval_holds_the_mean"),
        ("Scores", "high", 0.4, "interval_holds_the_mean"),
        ("Scores", "mean", float("nan"), "interval_holds_the_mean"),
    ],
)  # fmt: skip
def test_the_breach_of_a_rule_is_counted_and_shown(schema, column, value, rule):
    error = breach(first(RIGHT[schema], column, value), schema)
    (count,) = (count for name, count in error.counts.items() if rule in name)
    assert rule in str(error) and f"({count} rows)" in str(error)
    assert any(rule in case["check"] for case in error.cases)
    assert 1 <= count <= 2


def test_a_breach_of_several_rules_names_each_with_its_count():
    table = CURVE.with_columns(loss=pl.Series([-1.0, -2.0]), grad_norm=pl.Series([-1.0, 0.0]), step=pl.Series([0, 2]))
    error = breach(table, "TrainingCurve")
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
    error = breach(table, "TrainingRows")
    assert error.counts == {"greater_than_or_equal_to(1)": 500}
    assert len(error.cases) == 20
    assert error.cases[0]["failure_case"] == "0"
    assert error.cases[0]["index"] == "0"
