"""The contract between stages: one pandera model per table.

Every table is validated eagerly against its model in the asset's body, before it is published. A LazyFrame would pass
unread: pandera checks only the schema of one, never its values.
"""

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from nomad_assets.errors import NomadError
from nomad_assets.recipe.curation import curate
from nomad_assets.recipe.evaluation import benchmarks
from nomad_assets.steps import MODELS, SCORES

ENDINGS = ["completed", "length", "empty", "malformed"]
MAX_CASES = 20


class Table(pa.DataFrameModel):
    class Config:
        strict = True
        ordered = False


class SeedExamples(Table):
    """Normalised seed rows. Their order is the order in which train sizes take them."""

    id: str = pa.Field(
        unique=True,
        str_length={"min_value": 16, "max_value": 16},
        description="sha256 of prompt and response, 16 hex digits",
    )
    position: int = pa.Field(ge=0, unique=True, description="place in the pool; a subset is its head")
    prompt: str = pa.Field(str_length={"min_value": 1}, description="what the user's turn holds")
    response: str = pa.Field(str_length={"min_value": 1}, description="what the assistant's turn holds")
    source: str = pa.Field(description="file or hub name the row was read from")
    source_row: int = pa.Field(ge=1, description="1-based row in the source")
    source_id: str = pa.Field(nullable=True, description="the id the source gave, if any")


class SeedSubset(Table):
    """The head of the pool. Where a row stood in its source is known to the pool alone: a row that moves in its file
    changes no subset."""

    id: str = pa.Field(unique=True, str_length={"min_value": 16, "max_value": 16}, description="id of the seed row")
    position: int = pa.Field(ge=0, unique=True, description="place in the pool")
    prompt: str = pa.Field(str_length={"min_value": 1}, description="what the user's turn holds")
    response: str = pa.Field(str_length={"min_value": 1}, description="what the assistant's turn holds")
    source: str = pa.Field(description="file or hub name the row was read from")


class LeftOut(Table):
    """Source rows that are not in the pool."""

    source: str = pa.Field(description="file or hub name the row was read from")
    row: int = pa.Field(ge=1, description="1-based row in the source")
    reason: str = pa.Field(
        isin=["not_single_turn", "repeat", "benchmark_question", "withdrawn"],
        description="why the pool does not hold it",
    )
    evidence: str = pa.Field(description="the twin, question or withdrawal behind the reason")


class BenchmarkQuestions(Table):
    """Questions with the answers that count as right."""

    id: str = pa.Field(unique=True, description="benchmark and place in its source")
    benchmark: str = pa.Field(description="its name in the profile")
    question: str = pa.Field(str_length={"min_value": 1}, description="as the model is asked")
    answers: pl.List = pa.Field(
        dtype_kwargs={"inner": pl.String}, description="accepted answers, the canonical one first"
    )
    reference: str = pa.Field(str_length={"min_value": 1}, description="model answer whose log-probability is measured")

    @pa.check("answers")
    def every_question_has_an_accepted_answer(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).list.len() > 0)


class TrainingCurve(Table):
    """One row per optimizer step."""

    step: int = pa.Field(ge=1, unique=True, description="optimizer step, from 1")
    loss: float = pa.Field(ge=0, lt=float("inf"), description="nats per unit of loss weight")
    learning_rate: float = pa.Field(ge=0, description="of that step")
    grad_norm: float = pa.Field(ge=0, lt=float("inf"), description="before clipping")


class TrainingRows(Table):
    """What a model was trained on, row by row."""

    id: str = pa.Field(unique=True, description="seed row or synthetic row")
    tokens: int = pa.Field(ge=1, description="with the chat template's scaffolding")
    supervised_tokens: int = pa.Field(ge=0, description="tokens with loss; 0 for a row not used")
    used: bool = pa.Field(description="false: longer than max_length, left out")

    @pa.dataframe_check
    def every_used_row_has_a_supervised_token(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("used") == (pl.col("supervised_tokens") > 0))


class SyntheticCorpus(Table):
    """Every attempt, and how it ended."""

    id: str = pa.Field(unique=True, description="cell, attempt and response index")
    attempt: int = pa.Field(ge=0, description="number of the prompt, from 0")
    response_index: int = pa.Field(ge=0, description="number of the response to it, from 0")
    prompt_end: str = pa.Field(isin=ENDINGS, description="how the prompt ended")
    response_end: str = pa.Field(isin=[*ENDINGS, "not_attempted"], description="how the response ended")
    prompt: str = pa.Field(description="as the teacher wrote it")
    response: str = pa.Field(nullable=True, description="as it was answered")
    final_answer: str = pa.Field(nullable=True, description="what the response comes down to")
    agreement: float = pa.Field(
        nullable=True, ge=0, le=1, description="share of the prompt's responses with its most frequent final answer"
    )
    majority_answer: bool = pa.Field(
        nullable=True, description="whether this row's final answer is the most frequent one"
    )
    prompt_tokens: int = pa.Field(ge=0, description="written for the prompt")
    response_tokens: int = pa.Field(ge=0, description="written for the response")
    prompt_seed: int = pa.Field(ge=0, description="of the prompt's random numbers")
    response_seed: int = pa.Field(nullable=True, ge=0, description="of the response's random numbers")

    @pa.dataframe_check
    def only_proper_prompts_are_answered(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            (pl.col("prompt_end") == "completed") == (pl.col("response_end") != "not_attempted")
        )


class CuratedCorpus(SyntheticCorpus):
    """Every row with its verdict."""

    verdict: str = pa.Field(isin=["kept", "dropped"], description="whether it is trained on")
    reason: str = pa.Field(description="the first rule that it broke")
    evidence: str = pa.Field(nullable=True, description="the twin, question, equation or bounds behind the reason")
    evidence_similarity: float = pa.Field(nullable=True, description="similarity to, or share of, the evidence")
    nearest_seed: str = pa.Field(nullable=True, description="id of the teacher's seed row nearest to the prompt")
    normsim_2: float = pa.Field(nullable=True, ge=0, le=1, description="relevance: NormSim_2 to the seed pool")
    normsim_inf: float = pa.Field(nullable=True, ge=0, le=1, description="largest absolute cosine to the seed pool")
    novelty: float = pa.Field(nullable=True, ge=-1e-6, le=2, description="1 - cosine to the nearest seed row")
    seed_similarity: float = pa.Field(nullable=True, ge=-1, le=1, description="cosine to the nearest seed row")

    @pa.check("reason", name="isin(the rules' reasons, filter.NAME, verifier.NAME)")
    def known_reason(cls, data: pa.PolarsData) -> pl.LazyFrame:
        reason = pl.col(data.key)
        return data.lazyframe.select(
            reason.is_in([curate.KEPT, *curate.reason_names()]) | reason.str.contains(curate.PLUGIN_REASON)
        )

    @pa.dataframe_check
    def kept_means_no_objection(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("verdict") == "kept") == (pl.col("reason") == "kept"))


class SeedPoints(Table):
    """The teacher's seed rows through the lenses that its corpus is read with."""

    id: str = pa.Field(unique=True, description="id of the seed row")
    relevance: float = pa.Field(nullable=True, ge=0, le=1, description="NormSim_2 to the other rows of the pool")
    novelty: float = pa.Field(nullable=True, ge=-1e-6, le=2, description="1 - cosine to the nearest other row it saw")


class NoveltyCurve(Table):
    """Mean novelty of the corpus as it grows."""

    rows: int = pa.Field(ge=1, unique=True, description="size of the corpus")
    novelty: float = pa.Field(ge=-1e-6, le=2, description="mean 1 - cosine of a new row to seeds and all earlier rows")


class ProfileMetrics(Table):
    """What a corpus is like, one row per figure."""

    metric: str = pa.Field(unique=True, description="its name")
    value: float = pa.Field(nullable=True, description="null where there was nothing to measure")


class QuestionResults(Table):
    """One value per question and metric."""

    benchmark: str = pa.Field(description="its name in the profile")
    question_id: str = pa.Field(description="id of the question")
    metric: str = pa.Field(description="scoring rule")
    value: float = pa.Field(description="a share, or nats per token for answer_logprob")

    @pa.dataframe_check
    def every_question_once_per_metric(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(~pl.struct("benchmark", "question_id", "metric").is_duplicated())

    @pa.dataframe_check
    def local_scores_are_shares_and_log_probabilities_negative(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            pl.when(pl.col("metric") == benchmarks.LOG_PROBABILITY)
            .then(pl.col("value") <= 0)
            .when(benchmarks.is_share(pl.col("metric")))
            .then(pl.col("value").is_between(0, 1))
            .otherwise(pl.col("value").is_finite())
        )


class Responses(Table):
    """What the model answered."""

    benchmark: str = pa.Field(description="its name in the profile")
    question_id: str = pa.Field(description="id of the question")
    question: str = pa.Field(description="as the model was asked")
    response: str = pa.Field(description="what it answered")
    reference: str = pa.Field(description="the model answer")


class Scores(Table):
    """Mean over questions with a 95% bootstrap interval."""

    benchmark: str = pa.Field(description="its name in the profile")
    metric: str = pa.Field(description="scoring rule")
    n: int = pa.Field(ge=1, description="questions")
    mean: float = pa.Field(description="over the questions")
    low: float = pa.Field(description="2.5% bound of the bootstrap")
    high: float = pa.Field(description="97.5% bound of the bootstrap")

    @pa.dataframe_check
    def interval_holds_the_mean(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            (pl.col("low") <= pl.col("mean") + 1e-9) & (pl.col("mean") <= pl.col("high") + 1e-9)
        )


def columns(schema: type[Table]) -> list[str]:
    return list(schema.to_schema().columns)


# The stored tables of each asset, by path; a pattern stands for any number of files.
STORED: dict[str, dict[str, type[Table]]] = {
    "seed_examples": {"seeds.parquet": SeedExamples, "left_out.parquet": LeftOut},
    "benchmark_questions": {"questions/*.parquet": BenchmarkQuestions},
    "seed_subset": {"seeds.parquet": SeedSubset},
    **{name: {"curve.parquet": TrainingCurve, "rows.parquet": TrainingRows} for name in MODELS},
    "synthetic_corpus": {"corpus.parquet": SyntheticCorpus},
    "curated_corpus": {"curated.parquet": CuratedCorpus, "seed_points.parquet": SeedPoints},
    "corpus_profile": {"metrics.parquet": ProfileMetrics, "novelty_curve.parquet": NoveltyCurve},
    **{
        name: {"results.parquet": QuestionResults, "responses.parquet": Responses, "scores.parquet": Scores}
        for name in SCORES
    },
}


def validate(table: pl.DataFrame, schema: type[Table], place: str) -> pl.DataFrame:
    """The table itself if it conforms. Raises NomadError with the first 20 failing rows and a count per rule."""
    try:
        return schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases
        counts = dict(failures.group_by("check").len().iter_rows())
        cases = failures.head(MAX_CASES).with_columns(pl.all().cast(pl.String, strict=False)).to_dicts()
        rules = ", ".join(f"{rule} ({count} rows)" for rule, count in sorted(counts.items(), key=str))
        raise NomadError(f"{place}: the table breaks its contract {schema.__name__}: {rules}", cases, counts) from None
