"""For each contract a small table that keeps it, and the breaches of its rules that tests try on that table."""

from dataclasses import dataclass

import polars as pl
import pytest

from nomad_assets.engine.graph import tables_of
from nomad_assets.engine.tables import Table, validate
from nomad_assets.errors import NomadError
from nomad_assets.recipe.generation.synthesis import COLUMNS
from nomad_assets.steps import GRAPH

CONTRACTS = {table.__name__: table for table in tables_of(GRAPH)}
PLACE = "synthetic_corpus [8/masked] rows.parquet"

SEEDS = pl.DataFrame({
    "id": ["0123456789abcdef", "fedcba9876543210"], "position": [0, 1], "prompt": ["p", "q"], "response": ["r", "s"],
    "source": ["a", "a"], "source_row": [1, 2], "source_id": ["x", None],
})  # fmt: skip
LEFT_OUT = pl.DataFrame({
    "source": ["a"] * 4, "row": [1, 2, 3, 4], "reason": ["not_single_turn", "repeat", "benchmark_question", "withdrawn"],
    "evidence": [""] * 4,
})  # fmt: skip
QUESTIONS = pl.DataFrame({
    "id": ["q1", "q2"], "benchmark": ["b", "b"], "question": ["x", "y"], "answers": [["a"], ["b", "c"]],
    "reference": ["a", "b"], "cluster": ["q1", "q2"], "split": ["dev", "test"],
})  # fmt: skip
CURVE = pl.DataFrame({"step": [1, 2], "loss": [2.0, 1.0], "learning_rate": [0.1, 0.0], "grad_norm": [1.0, 0.5]})
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
RESULTS = pl.DataFrame({
    "benchmark": ["b"] * 5, "question_id": ["q", "q", "q", "q", "q2"],
    "metric": ["exact_match", "f1", "lm_eval_strict", "answer_logprob", "exact_match"], "value": [1.0, 0.5, 0.0, -3.0, 0.0],
})  # fmt: skip
COMPARISONS = pl.DataFrame({
    "comparison": ["students"] * 2, "a": ["unmasked"] * 2, "b": ["masked"] * 2, "train_size": [8, None], "benchmark": ["b", None],
    "measure": ["primary"] * 2, "metric": ["exact_match", None], "unit": ["points", None], "n": [3, 0], "replicates": [5, 1],
    "difference": [0.1, 0.0], "low": [0.0, 0.0], "high": [0.2, 0.0], "p": [0.4, None], "p_flips": [0.5, None],
    "verdict": ["no difference shown"] * 2,
})  # fmt: skip

HEADROOM = pl.DataFrame({
    "curve": ["rows", "rows", "wrong", "votes"], "point": [8.0, 8.0, 0.5, 4.0], "replicate": [0] * 4, "benchmark": ["b"] * 4,
    "question_id": ["q"] * 4, "cluster": ["c"] * 4, "metric": ["right", "answer_logprob", "right", "majority"],
    "value": [1.0, -3.0, 0.0, 0.5],
})  # fmt: skip
CONTRASTS = pl.DataFrame({
    "a": ["8 rows", "majority of 4"], "b": ["4 rows", "greedy"], "metric": ["right"] * 2, "n": [3, 3], "clusters": [3, 3],
    "replicates": [5, 1], "difference": [0.1, 0.0], "low": [0.0, 0.0], "high": [0.2, 0.0], "p": [0.4, None], "call": ["open"] * 2,
})  # fmt: skip

RIGHT = {
    "HeadroomScores": HEADROOM,
    "HeadroomContrasts": CONTRASTS,
    "SeedExamples": SEEDS,
    "LeftOut": LEFT_OUT,
    "SeedSubset": SEEDS.drop("source_row", "source_id"),
    "BenchmarkQuestions": QUESTIONS,
    "TrainingCurve": CURVE,
    "TrainingRows": ROWS,
    "SyntheticCorpus": CORPUS,
    "CuratedCorpus": CURATED,
    "SeedPoints": POINTS,
    "NoveltyCurve": pl.DataFrame({"rows": [1, 2], "novelty": [0.5, 0.4]}),
    "ProfileMetrics": pl.DataFrame({"metric": ["kept", "relevance"], "value": [3.0, None]}),
    "QuestionResults": RESULTS,
    "Responses": pl.DataFrame(
        {name: ["x"] for name in ("benchmark", "question_id", "question", "response", "reference")}
    ),
    "Scores": pl.DataFrame(
        {"benchmark": ["b"], "metric": ["f1"], "n": [3], "mean": [0.5], "low": [0.5], "high": [0.9]}
    ),
    "Comparisons": COMPARISONS,
}


@dataclass(frozen=True)
class Breach:
    """A value in the first row of a column that breaks a rule of a contract."""

    contract: str
    column: str
    value: object
    rule: str


def breaches(contract: type[Table], *rows: tuple[str, object, str]) -> pytest.MarkDecorator:
    """Parametrizes a test with (column, value, rule) of one contract."""
    found = [Breach(contract.__name__, *row) for row in rows]
    return pytest.mark.parametrize(
        "breach", found, ids=[f"{b.contract}-{b.column}-{number}" for number, b in enumerate(found)]
    )


def accepted(table: pl.DataFrame, contract: str) -> pl.DataFrame:
    return validate(table, CONTRACTS[contract], PLACE)


def refused(table: pl.DataFrame, contract: str) -> NomadError:
    with pytest.raises(NomadError) as caught:
        accepted(table, contract)
    assert str(caught.value).startswith(f"{PLACE}: the table breaks its contract {contract}: ")
    return caught.value


def assert_counted_and_shown(breach: Breach) -> None:
    """The breach of a rule is counted and shown, with the rule's name."""
    table = RIGHT[breach.contract]
    values = [breach.value, *table[breach.column].to_list()[1:]]
    changed = pl.Series(breach.column, values, dtype=table.schema[breach.column])
    error = refused(table.with_columns(changed), breach.contract)
    (count,) = (count for name, count in error.counts.items() if breach.rule in name)
    assert breach.rule in str(error) and f"({count} rows)" in str(error)
    assert any(breach.rule in case["check"] for case in error.cases)
    assert 1 <= count <= 2
