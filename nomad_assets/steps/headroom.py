"""Whether synthetic data can help at all: small models of gold rows alone, made only where somebody asks for it."""

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Markdown, Output
from nomad_assets.engine.step import Config, File, Read, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.errors import NomadError
from nomad_assets.profile.fields import S, Section
from nomad_assets.profile.headroom_settings import HeadroomDesign
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import EvaluationMachinery, Scoring, Training
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY
from nomad_assets.recipe.headroom.design import dev_questions, models_of, sizes_of, steps_of
from nomad_assets.recipe.headroom.findings import Findings
from nomad_assets.recipe.headroom.measure import COLUMNS, ROWS, VOTES, WRONG, Measurement
from nomad_assets.recipe.models.device import DECODED_ROWS, TRAINED_ROWS, agreed_precision
from nomad_assets.recipe.models.loading import quiet
from nomad_assets.recipe.report.headroom_page import Facts, build_page
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.benchmarks import BenchmarkQuestions, scorers
from nomad_assets.steps.external import ExternalPlugin
from nomad_assets.steps.seeds import SeedExamples

HEADROOM_MARKDOWN, HEADROOM_HTML = File("headroom.md"), File("headroom.html")
ASKED = ("benchmark_questions.question", "benchmark_questions.answers", "benchmark_questions.reference")
SCORED = tuple(f"headroom_scores.{name}" for name in ("point", "replicate", "question_id", "cluster", "value"))
TAUGHT = ("seed_examples.prompt", "seed_examples.response")


class HeadroomScores(Table):
    """One value per curve, point, replicate, question and metric."""

    curve: str = column(
        "rows: over gold rows; wrong: over wrong ones; votes: sampled answers", isin=[ROWS, WRONG, VOTES]
    )
    point: float = column("gold rows, share of wrong rows, or sampled answers a question", ge=0)
    replicate: int = column("from 0; the untouched base stands in the first alone", ge=0)
    benchmark: str = column("its name in the profile", copy_of="benchmark_questions.benchmark")
    question_id: str = column("id of the question", copy_of="benchmark_questions.id")
    cluster: str = column("what it shares with other questions", copy_of="benchmark_questions.cluster")
    metric: str = column("right, answer_logprob; of votes majority, any_right, single, agreement")
    value: float = column("a share, or nats per token for answer_logprob", computed_from=(*ASKED, *TAUGHT))

    @pa.dataframe_check
    def every_question_once_per_point(cls, data: pa.PolarsData) -> pl.LazyFrame:
        key = [name for name in COLUMNS if name not in ("cluster", "value")]
        return data.lazyframe.select(~pl.struct(key).is_duplicated())

    @pa.dataframe_check
    def shares_and_log_probabilities(cls, data: pa.PolarsData) -> pl.LazyFrame:
        logarithm = pl.col("metric") == LOG_PROBABILITY
        inside = pl.col("value").is_between(0, 1)
        return data.lazyframe.select(pl.when(logarithm).then(pl.col("value") <= 0).otherwise(inside))


class Answering(EvaluationMachinery):
    """How models answer, as for every score of the project."""

    precision: str


class HeadroomConfig(Config):
    headroom: HeadroomDesign
    student: Training
    evaluation: Answering
    benchmarks: dict[str, Scoring]
    """Those with questions of their own, of which some are dev questions."""
    scorers: dict[str, ExternalPlugin]
    """By benchmark, the rules that are plug-ins."""
    dtype: str
    """Storage type of the weights."""
    orders: list[int]
    """Seed of the pool's order by replicate, as seed subsets have it; 0 is the pool's own."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "HeadroomConfig":
        profile = grid.profile
        asked = asked_benchmarks(profile)
        plugged = scorers(profile)
        orders = [grid.seed_of_replicate("seed_subset", number) for number in range(profile.headroom.replicates)]
        return cls(
            seed=grid.seed("headroom_scores", cell), headroom=_part(HeadroomDesign, profile.headroom),
            student=_part(Training, profile.student), evaluation=_part(Answering, profile.evaluation), benchmarks=asked,
            scorers={name: scorer for name, scorer in plugged.items() if name in asked}, dtype=profile.base_model.dtype,
            orders=[0, *orders[1:]],
        )  # fmt: skip


def _part(kind: type[S], section: Section) -> S:
    """The keys of a section that it inherits from `kind`."""
    return kind(**section.model_dump(include=set(kind.model_fields)))


def asked_benchmarks(profile: Profile) -> dict[str, Scoring]:
    """The benchmarks that have dev questions here. Raises NomadError when none has."""
    found = {name: _part(Scoring, b) for name, b in profile.benchmarks.items() if b.source is not None and b.dev > 0}
    if not found:
        raise NomadError(
            "headroom is measured on dev questions, and no benchmark has any: give one with a `source` and set "
            "benchmarks.NAME.dev above 0, such as 0.25"
        )
    return found


def asked_questions(questions: pl.DataFrame, config: HeadroomConfig) -> pl.DataFrame:
    """Test questions stay unseen, and a change of theirs measures nothing again."""
    chosen = questions.filter(pl.col("benchmark").is_in(list(config.benchmarks)))
    return dev_questions(chosen, config.headroom.questions)


@step(
    over=Over.GRID,
    inputs={
        "seed_examples": Read({SeedExamples: View(("id", "position", "prompt", "response", "source"))}),
        "base_model": Read(files=(MODEL,)),
        "benchmark_questions": Read({
            BenchmarkQuestions: View(("id", "benchmark", "question", "answers", "reference", "cluster"), asked_questions)
        }),
    },
    tables={"scores.parquet": HeadroomScores},
    version="1", group="headroom", kinds=("huggingface", "pytorch"), heavy=True, asked=True,
)  # fmt: skip
def headroom_scores(config: HeadroomConfig, inputs: Inputs, out: Output) -> None:
    """Scores of small models on the dev questions: trained on more and more gold rows, on gold rows of which some have wrong
    answers, and of several sampled answers put to the vote.

    Wrong if two models of a replicate differ in anything but their rows: all make the same number of optimizer steps.
    """
    quiet()
    settings, pool = config.headroom, inputs["seed_examples"].table(SeedExamples)
    questions = inputs["benchmark_questions"].table(BenchmarkQuestions)
    sizes, models = sizes_of(settings, pool.height), models_of(settings, pool.height)
    steps = steps_of(settings, config.student, sizes[-1])
    precision = agreed_precision(config.student.precision, TRAINED_ROWS, out.agreed)
    decoding = agreed_precision(config.evaluation.precision, DECODED_ROWS, out.agreed)
    measurement = Measurement(
        base=inputs["base_model"].path(MODEL), pool=pool, questions=questions,
        benchmarks={name: scoring for name, scoring in config.benchmarks.items() if name in set(questions["benchmark"])},
        scorers={name: scorer.plugin for name, scorer in config.scorers.items()}, settings=settings,
        training=config.student.model_copy(update={"steps": steps, "precision": precision}),
        batch_size=config.evaluation.batch_size, precision=decoding, dtype=config.dtype, orders=config.orders, seed=config.seed,
    )  # fmt: skip
    measurement.check_rows(models)
    out.scratch.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, model in enumerate(models):
        told = lambda stage, share, _, facts, number=number: out.progress(  # noqa: E731
            f"model {number + 1} of {len(models)}", number + share, len(models),
            {key: value for key, value in facts.items() if key != "seconds_left"},
        )  # fmt: skip
        parts.append(measurement.of(model, out.scratch, told))
        out.progress(f"model {number + 1} of {len(models)}", number + 1, len(models), {})
    scores = pl.concat(parts)
    out.write(scores, HeadroomScores)
    out.report(
        rows=scores.height, models=len(models), steps=steps, pool=pool.height, questions=questions.height,
        precision=precision,
    )  # fmt: skip
    out.show("preview", scores)


@headroom_scores.check()
def every_model_answered_every_question(stored: Stored) -> Finding:
    """Each point of each replicate has the same questions, so that differences are paired."""
    scores = stored.table(HeadroomScores)
    key = ["curve", "point", "replicate", "metric"]
    wanted = scores.group_by("curve", "metric").agg(wanted=pl.col("question_id").n_unique())
    counts = scores.group_by(key).agg(asked=pl.col("question_id").n_unique()).join(wanted, on=["curve", "metric"])
    short = counts.filter(pl.col("asked") < pl.col("wanted")).sort(key)
    asked = scores["question_id"].n_unique()
    text = f"{short.height} points lack questions" if short.height else f"{asked} questions at every point"
    return Finding(short.is_empty(), text, {"questions": asked}, short.to_dicts())


class HeadroomContrasts(Table):
    """The paired differences behind the verdict."""

    a: str = column("the first side")
    b: str = column("the second side")
    metric: str = column("right or answer_logprob", computed_from=("headroom_scores.metric",))
    n: int = column("questions", ge=1, computed_from=SCORED)
    clusters: int = column("of the questions", ge=1, computed_from=("headroom_scores.cluster",))
    replicates: int = column("of both sides", ge=1, computed_from=("headroom_scores.replicate",))
    difference: float = column("mean of a minus b: a share, or nats per token", computed_from=SCORED)
    low: float = column("2.5% bound of the interval", computed_from=SCORED)
    high: float = column("97.5% bound of the interval", computed_from=SCORED)
    p: float = column("that there is no difference; null with one replicate", nullable=True, computed_from=SCORED)
    call: str = column("what both measures show together", isin=["higher", "lower", "open"], computed_from=SCORED)


class HeadroomReportConfig(Config):
    profile: str
    margin: float
    learning_rate: float
    """For the list of settings."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "HeadroomReportConfig":
        profile = grid.profile
        return cls(
            profile=profile.name, margin=profile.headroom.margin, learning_rate=profile.student.learning_rate,
        )  # fmt: skip


@step(
    over=Over.GRID,
    inputs={"headroom_scores": Read({HeadroomScores: View()}, facts=("steps", "pool", "models", "seconds"))},
    tables={"contrasts.parquet": HeadroomContrasts}, files=(HEADROOM_MARKDOWN, HEADROOM_HTML),
    version="1", group="headroom", kinds=("markdown", "html"), asked=True,
)  # fmt: skip
def headroom_report(config: HeadroomReportConfig, inputs: Inputs, out: Output) -> None:
    """Worth trying, or do not bother: what three curves of gold rows say of synthetic ones, as Markdown and as one HTML file.

    Wrong if a sentence says more than its numbers carry: the interval of each stands beside it.
    """
    given = inputs["headroom_scores"]
    findings = Findings(given.table(HeadroomScores), config.margin)
    facts = Facts(
        config.profile, config.learning_rate, *(given.fact(name) for name in ("steps", "pool", "models", "seconds"))
    )
    page = build_page(findings, facts)
    out.path(HEADROOM_MARKDOWN).write_text(page.markdown, encoding="utf-8")
    out.path(HEADROOM_HTML).write_text(page.html, encoding="utf-8")
    contrasts = findings.contrasts()
    out.write(contrasts, HeadroomContrasts)
    out.report(rows=contrasts.height, verdict=page.verdict)
    out.show("preview", contrasts)
    out.show("report", Markdown(page.markdown))
