"""Scores of students, controls and the untouched base model, all by the same function."""

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Given, Inputs
from nomad_assets.engine.output import Output, Preview
from nomad_assets.engine.step import Config, Read, View, check, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Evaluation, Scoring
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY, is_share, primary
from nomad_assets.recipe.evaluation.evaluate import evaluate
from nomad_assets.recipe.evaluation.statistics import stratified_bootstrap
from nomad_assets.recipe.models.device import DECODED_ROWS, agreed_precision
from nomad_assets.recipe.models.loading import quiet
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.benchmarks import BenchmarkQuestions, scorers
from nomad_assets.steps.external import ExternalPlugin


class QuestionResults(Table):
    """One value per question and metric."""

    benchmark: str = column("its name in the profile", copy_of="benchmark_questions.benchmark")
    question_id: str = column("id of the question", copy_of="benchmark_questions.id")
    metric: str = column("scoring rule")
    value: float = column(
        "a share, or nats per token for answer_logprob",
        computed_from=(
            "benchmark_questions.question", "benchmark_questions.answers", "benchmark_questions.reference",
        ),
    )  # fmt: skip

    @pa.dataframe_check
    def every_question_once_per_metric(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(~pl.struct("benchmark", "question_id", "metric").is_duplicated())

    @pa.dataframe_check
    def local_scores_are_shares_and_log_probabilities_negative(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            pl.when(pl.col("metric") == LOG_PROBABILITY)
            .then(pl.col("value") <= 0)
            .when(is_share(pl.col("metric")))
            .then(pl.col("value").is_between(0, 1))
            .otherwise(pl.col("value").is_finite())
        )


class Responses(Table):
    """What the model answered."""

    benchmark: str = column("its name in the profile")
    question_id: str = column("id of the question")
    question: str = column("as the model was asked")
    response: str = column("what it answered")
    reference: str = column("the model answer")


class Scores(Table):
    """Mean over questions with a 95% interval: Wilson's of right-or-wrong scores, else the bootstrap's."""

    benchmark: str = column("its name in the profile")
    metric: str = column("scoring rule")
    n: int = column("questions", ge=1)
    mean: float = column("over the questions: a share, or nats per token for answer_logprob")
    low: float = column("2.5% bound of the interval")
    high: float = column("97.5% bound of the interval")

    @pa.dataframe_check
    def interval_holds_the_mean(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            (pl.col("low") <= pl.col("mean") + 1e-9) & (pl.col("mean") <= pl.col("high") + 1e-9)
        )


SCORED = {"results.parquet": QuestionResults, "responses.parquet": Responses, "scores.parquet": Scores}


def scoring_of(profile: Profile) -> dict[str, Scoring]:
    """By benchmark, how it is scored."""
    return {name: Scoring(**b.model_dump(include=set(Scoring.model_fields))) for name, b in profile.benchmarks.items()}


class ScoresConfig(Config):
    benchmarks: dict[str, Scoring]
    """What is asked stands in benchmark_questions."""
    scorers: dict[str, ExternalPlugin]
    """By benchmark, the rules that are plug-ins."""
    evaluation: Evaluation

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "ScoresConfig":
        profile = grid.profile
        return cls(
            seed=profile.seed,  # the same for every model, so that equal results get equal intervals
            benchmarks=scoring_of(profile), scorers=scorers(profile), evaluation=profile.evaluation,
        )  # fmt: skip


QUESTIONS = Read({BenchmarkQuestions: View(("id", "benchmark", "question", "answers", "reference"))})
SCORES = {"tables": SCORED, "version": "4", "group": "scores", "kinds": ("pytorch", "polars"), "heavy": True}


@step(over=Over.SELECTIONS, inputs={"student_model": Read(files=(MODEL,)), "benchmark_questions": QUESTIONS}, **SCORES)
def student_scores(config: ScoresConfig, inputs: Inputs, out: Output) -> None:
    """The student's answers to every benchmark question, and its scores with 95% bootstrap intervals.

    Wrong if a question is missing or answered twice.
    """
    _score(inputs["student_model"], config, inputs, out)


@step(over=Over.CONTROLS, inputs={"control_model": Read(files=(MODEL,)), "benchmark_questions": QUESTIONS}, **SCORES)
def control_scores(config: ScoresConfig, inputs: Inputs, out: Output) -> None:
    """The control's answers and scores."""
    _score(inputs["control_model"], config, inputs, out)


@step(over=Over.GRID, inputs={"base_model": Read(files=(MODEL,)), "benchmark_questions": QUESTIONS}, **SCORES)
def base_scores(config: ScoresConfig, inputs: Inputs, out: Output) -> None:
    """The untouched base model's answers and scores."""
    _score(inputs["base_model"], config, inputs, out)


def _score(model: Given, config: ScoresConfig, inputs: Inputs, out: Output) -> None:
    quiet()
    settings = config.evaluation
    found = evaluate(
        model.path(MODEL), config.benchmarks, inputs["benchmark_questions"].table(BenchmarkQuestions),
        batch_size=settings.batch_size, resamples=settings.bootstrap, seed=config.seed,
        precision=agreed_precision(settings.precision, DECODED_ROWS, out.agreed), progress=out.progress,
        plugins={name: scorer.plugin for name, scorer in config.scorers.items()},
    )  # fmt: skip
    out.write(found.results, QuestionResults)
    out.write(found.responses, Responses)
    out.write(found.scores, Scores)
    rows = list(found.scores.iter_rows(named=True))
    metrics = {f"{row['benchmark']}_{row['metric']}": row["mean"] for row in rows}
    for bound in ("low", "high"):
        metrics |= {f"{row['benchmark']}_{row['metric']}_{bound}": row[bound] for row in rows}
    out.report(rows=found.responses.height, tokens=found.generated_tokens, **metrics, precision=found.precision)
    out.show("scores", Preview(found.scores))
    out.show("preview", found.responses.select("question", "response", "reference"))


@check(student_scores, control_scores, base_scores)
def every_question_is_scored_once(stored: Stored) -> Finding:
    """Each question has one value per metric, none is missing, and shares lie in [0, 1]."""
    results, responses = stored.table(QuestionResults), stored.table(Responses)
    outside = is_share(pl.col("metric")) & ~pl.col("value").is_between(0, 1)
    rows = [{**row, "problem": "outside [0, 1]"} for row in results.filter(outside).to_dicts()]
    for table, keys in ((results, ["benchmark", "question_id", "metric"]), (responses, ["benchmark", "question_id"])):
        twice = table.group_by(keys).len().filter(pl.col("len") > 1)
        rows += [{**row, "problem": f"answered {row['len']} times"} for row in twice.sort(keys).to_dicts()]
    current = stored.current("benchmark_questions")
    if current is not None:
        rows += _not_as_asked(results, responses, stored.table_of(current, BenchmarkQuestions))
    asked = responses.height
    text = f"{rows[0]['question_id']}: {rows[0]['problem']}" if rows else f"{asked} questions, each once"
    return Finding(not rows, text, {"questions": asked}, rows)


def _not_as_asked(results: pl.DataFrame, responses: pl.DataFrame, questions: pl.DataFrame) -> list[dict]:
    """Questions of the current benchmarks without a score or an answer, and scores of other questions."""
    keys = ["benchmark", "question_id"]
    wanted = questions.select("benchmark", pl.col("id").alias("question_id"))
    local = results.filter(pl.col("benchmark").is_in(wanted["benchmark"].unique().implode()))
    metrics = local.select("benchmark", "metric").unique()
    missing = wanted.join(metrics, on="benchmark").join(local, on=[*keys, "metric"], how="anti")
    rows = [{**row, "problem": "not scored"} for row in missing.sort(missing.columns).to_dicts()]
    unanswered = wanted.join(responses, on=keys, how="anti")
    rows += [{**row, "problem": "not answered"} for row in unanswered.sort(keys).to_dicts()]
    unknown = local.select(keys).unique().join(wanted, on=keys, how="anti")
    return rows + [{**row, "problem": "not a question of the benchmark"} for row in unknown.sort(keys).to_dicts()]


@student_scores.check(severity="WARN")
def student_is_not_worse_than_the_base_model(stored: Stored) -> Finding:
    """The student's exact match, averaged over benchmarks, is at least the untouched base model's.

    A task of lm-evaluation-harness without that metric counts by the first of its metrics, as in the report.
    """
    base = stored.current("base_scores")
    if base is None:
        return Finding(True, "base_scores has not been materialised; nothing to compare with")
    keys = ["benchmark", "question_id", "metric"]
    of_base = stored.table_of(base, QuestionResults)
    joined = stored.table(QuestionResults).join(of_base, on=keys, suffix="_base")
    groups = []
    for _, table in joined.group_by("benchmark", maintain_order=True):
        metrics = table["metric"].unique(maintain_order=True).to_list()
        chosen = table.filter(metric=primary(metrics))
        if chosen.select(is_share(pl.col("metric")).all()).item():
            groups.append(chosen["value"].to_numpy() - chosen["value_base"].to_numpy())
    if not groups:
        return Finding(True, "no benchmark has a metric that is a share, so there is nothing to compare")
    profile = stored.grid.profile
    found = stratified_bootstrap(groups, resamples=profile.evaluation.bootstrap, seed=profile.seed)
    text = f"{100 * found.mean:+.1f} points against the base model (95% interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return Finding(found.mean >= 0, text, {"points_over_base": 100 * found.mean})
