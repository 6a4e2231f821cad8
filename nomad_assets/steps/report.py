"""The report over everything that has been made."""

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple

import polars as pl

from nomad_assets import __version__
from nomad_assets.cells import Cell, Over
from nomad_assets.engine.inputs import Given, Inputs
from nomad_assets.engine.output import Markdown, Output, Picture
from nomad_assets.engine.step import Config, File, Read, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.errors import NomadError
from nomad_assets.profile.fields import Operational
from nomad_assets.profile.grid_settings import SHUFFLED
from nomad_assets.profile.sections import TEACHER
from nomad_assets.recipe.curation.signs import signs_of_error
from nomad_assets.recipe.evaluation.looks import looks_taken
from nomad_assets.recipe.evaluation.splits import with_splits
from nomad_assets.recipe.evaluation.statistics import mean_interval
from nomad_assets.recipe.report.archive import write_data
from nomad_assets.recipe.report.comparisons import RIVALS
from nomad_assets.recipe.report.header import steps_made
from nomad_assets.recipe.report.report import build_report
from nomad_assets.recipe.report.report_data import ReportData
from nomad_assets.steps.benchmarks import BenchmarkQuestions, dev_shares
from nomad_assets.steps.curation import CuratedCorpus, NoveltyCurve, ProfileMetrics, SeedPoints
from nomad_assets.steps.scores import QuestionResults
from nomad_assets.steps.seeds import SeedExamples

MARKDOWN, HTML, DATA = File("report.md"), File("report.html"), File("data/")
SAMPLED_ROWS = 200
SIDES = {"base_scores": "base", "control_scores": "control", "student_scores": "student"}
NEEDED = ("student_scores", "corpus_profile", "curated_corpus")  # at least one cell of each


def _of_scores(*columns: str) -> tuple[str, ...]:
    return tuple(f"{asset}.{column}" for column in columns for asset in reversed(SIDES))


COMPARED = _of_scores("benchmark", "question_id", "metric", "value")


class Comparisons(Table):
    """Every paired comparison; null train_size or benchmark means pooled over all."""

    comparison: str = column("students with each other, with the control, or with the base model")
    a: str = column("the first side")
    b: str = column("the second side")
    train_size: int = column("null: pooled over all", nullable=True)
    benchmark: str = column("null: the mean over all", nullable=True, computed_from=_of_scores("benchmark"))
    measure: str = column("primary metric or log-probability")
    metric: str = column("scoring rule", nullable=True, computed_from=_of_scores("metric"))
    unit: str = column("of the difference", nullable=True, computed_from=_of_scores("metric", "value"))
    n: int = column("questions", ge=0, computed_from=COMPARED)
    replicates: int = column("of both sides", ge=1, computed_from=COMPARED)
    difference: float = column("mean of a minus b over the questions", computed_from=COMPARED)
    low: float = column("2.5% bound of the interval", computed_from=COMPARED)
    high: float = column("97.5% bound of the interval", computed_from=COMPARED)
    p: float = column("that there is no difference; null with one replicate", nullable=True, computed_from=COMPARED)
    p_flips: float = column("the same by flipping signs of whole replicates", nullable=True, computed_from=COMPARED)
    verdict: str = column("what the interval says", computed_from=COMPARED)


class MadeWith(Operational):
    """What the page says of its own making. It decides nothing: a report is not out of date because of a newer version."""

    made_with: str
    """Version of nomad-assets."""


class ReportConfig(MadeWith, Config):
    profile: str
    base_model: str
    train_sizes: list[int]
    replicates: int
    looks: tuple[int, int] | None
    """Replicates before the first look at the answer, and the most; None where all of them are made."""
    arms: dict[str, float | None]
    """Name -> prompt loss weight; None for the untouched model."""
    controls: list[str]
    """Those beside seeds alone for as many steps."""
    benchmarks: dict[str, str]
    """Name -> its rule, or the task of lm-evaluation-harness."""
    dev: dict[str, float]
    """Name -> the share of its questions that choices are made on."""
    keeps: dict[str, int]
    """Selection -> rows to keep; "" is the one without a name."""
    band: str
    embedder: str
    answerers: dict[str, str]
    """Arm -> who answers its prompts."""
    student_seeds: int | None
    bootstrap: int
    profile_seed: int
    margin: float

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "ReportConfig":
        profile = grid.profile
        return cls(
            seed=grid.seed("recipe_report", cell), profile=profile.name, base_model=profile.base_model.source,
            train_sizes=grid.train_sizes, replicates=profile.grid.most_replicates,
            looks=(plan.start, plan.most) if (plan := profile.grid.looks) else None,
            arms={name: arm.prompt_loss for name, arm in grid.arms.items()},
            controls=[*grid.controls, *([SHUFFLED] if profile.controls.shuffled else [])],
            benchmarks={name: benchmark.task or benchmark.rule for name, benchmark in profile.benchmarks.items()},
            dev=dev_shares(profile), keeps={name: profile.curation_of(name).keep for name in ("", *grid.selections)}, band=profile.curation.band, embedder=profile.curation.embedder,
            answerers={name: arm.synthesis.answerer for name, arm in grid.arms.items()},
            student_seeds=profile.student.seeds, bootstrap=profile.evaluation.bootstrap,
            profile_seed=profile.seed, margin=profile.report.margin, made_with=__version__,
        )  # fmt: skip


# Read of every artifact that the page is about, for the line below its title. That they count in the fingerprint costs nothing: an
# artifact that was made again took other seconds, which the table of costs shows.
MADE = ("seconds", "ended", "host")


def _of_every_cell(*tables: type[Table], facts: tuple[str, ...] = ()) -> Read:
    return Read({table: View() for table in tables}, facts=(*MADE, *facts), every_cell=True, optional=True)


@step(
    over=Over.GRID,
    inputs={
        "student_scores": _of_every_cell(QuestionResults),
        "control_scores": _of_every_cell(QuestionResults),
        "base_scores": _of_every_cell(QuestionResults),
        "corpus_profile": _of_every_cell(ProfileMetrics, NoveltyCurve),
        "curated_corpus": _of_every_cell(CuratedCorpus, SeedPoints),
        "synthetic_corpus": _of_every_cell(facts=("engine",)),
        "teacher_model": _of_every_cell(),
        "student_model": _of_every_cell(),
        "control_model": _of_every_cell(),
        "seed_examples": Read({SeedExamples: View(("id", "prompt", "response"))}, optional=True),
        "benchmark_questions": Read({BenchmarkQuestions: View(("id", "benchmark", "cluster", "split"))}, optional=True),
    },
    tables={"comparisons.parquet": Comparisons}, files=(MARKDOWN, HTML, DATA),
    version="10", group="report", kinds=("markdown", "html"),
)  # fmt: skip
def recipe_report(config: ReportConfig, inputs: Inputs, out: Output) -> None:
    """Leaderboard, paired comparisons, plots and the recommended cell, as Markdown and as one HTML file.

    Covers the cells that exist; those that are missing are listed.
    """
    for name in NEEDED:
        if not inputs.each(name):
            raise NomadError(f"no cell of the grid has {name} yet; materialise at least one cell first")
    data = gather(config, inputs)
    report = build_report(data)
    out.path(MARKDOWN).write_text(report.markdown, encoding="utf-8")
    out.path(HTML).write_text(report.html, encoding="utf-8")
    out.write(report.comparisons, Comparisons)
    write_data(data, out.path(DATA))
    out.report(rows=report.comparisons.height, recommended=report.recommended)
    out.show("report", Markdown(report.markdown))
    out.show("preview", report.comparisons)
    for name, chart in report.figures.items():
        out.show(name, Picture(name.replace("_", " "), chart))


def results_of(config: ReportConfig, inputs: Inputs) -> pl.DataFrame:
    """The scores of all models, question by question: `results` of ReportData."""
    return _in_clusters(config, inputs, _results(config, inputs))


def gather(config: ReportConfig, inputs: Inputs) -> ReportData:
    """Everything the report is made from, out of the artifacts of the grid."""
    seeds = _seeds(inputs)
    results = results_of(config, inputs)
    looks = looks_taken(results, *config.looks, RIVALS) if config.looks else []
    needed = looks[-1].look.replicates if looks and looks[-1].ends else math.inf
    engines = {str(given.fact("engine")) for given in inputs.each("synthetic_corpus") if given.fact("engine")}
    return ReportData(
        profile_name=config.profile,
        settings={
            "base_model": config.base_model,
            "train_sizes": ", ".join(str(size) for size in config.train_sizes),
            "replicates": config.replicates,
            "controls": ["seeds alone", *config.controls],
            "benchmarks": config.benchmarks,
            "keep_target": config.keeps if len(config.keeps) > 1 else config.keeps[""],
            "band": config.band,
            "embedder": config.embedder,
            "engine": ", ".join(sorted(engines)),
            "answerer": _answerer_words(config.answerers),
            "student_seeds": "as many as the teacher saw" if config.student_seeds is None else config.student_seeds,
            "bootstrap_resamples": config.bootstrap,
            "equivalence_margin": config.margin,
            "seed": config.profile_seed,
        },
        scores=_means(config, results),
        results=results,
        corpora=pl.DataFrame(
            [_corpus_row(config, inputs, given) for given in inputs.each("corpus_profile")], infer_schema_length=None
        ),
        reasons=_stack(inputs, "curated_corpus", CuratedCorpus, _count_reasons),
        rows=_stack(inputs, "curated_corpus", CuratedCorpus, lambda table: _sample(table, seeds, config.seed)),
        seeds=_seed_points(inputs, seeds),
        novelty_curve=_stack(inputs, "corpus_profile", NoveltyCurve, lambda table: table),
        steps=_steps(inputs),
        made_with=config.made_with,
        margin=config.margin,
        looks=looks,
        missing=[
            f"{name} {cell.label}"
            for name, cell in inputs.missing
            if name in (*SIDES, *NEEDED) and cell.replicate < needed
        ],
    )


def _answerer_words(answerers: dict[str, str]) -> str:
    """Who answers the prompts, and what a comparison of arms therefore tells."""
    if len(set(answerers.values())) > 1:
        named = ", ".join(f"{arm}: {answerer}" for arm, answerer in answerers.items())
        return f"{named}; arms differ in their prompts and in who answers them"
    (answerer,) = set(answerers.values())
    if answerer == TEACHER:
        return "each teacher its own prompts; arms differ in prompts and answers"
    return f"{answerer} for all arms; arms differ in their prompts alone"


LABEL_TYPES = {"train_size": pl.Int64, "replicate": pl.Int64, "arm": pl.String, "prompt_loss": pl.Float64}


def _labels(config: ReportConfig, cell: Cell) -> dict:
    return {
        "train_size": cell.train_size, "replicate": None if cell == Cell() else cell.replicate, "arm": _recipe(cell),
        "prompt_loss": config.arms.get(cell.arm) if cell.arm else None,
    }  # fmt: skip


def _recipe(cell: Cell) -> str | None:
    """What the report calls an arm: with the selection of its rows; or the control's name."""
    return cell.last_label if cell.arm else cell.variant


def _results(config: ReportConfig, inputs: Inputs) -> pl.DataFrame:
    """One table of all students, controls and the base model, with labels in front."""
    parts = []
    for asset in ("student_scores", "control_scores", "base_scores"):
        for given in inputs.each(asset):
            labels = [pl.lit(v, dtype=LABEL_TYPES[k]).alias(k) for k, v in _labels(config, given.cell).items()]
            parts.append(given.table(QuestionResults).select(pl.lit(SIDES[asset]).alias("kind"), *labels, pl.all()))
    return pl.concat(parts)


def _means(config: ReportConfig, results: pl.DataFrame) -> pl.DataFrame:
    """The mean of each model, benchmark and metric over the test questions, with its interval."""
    by = ["kind", *LABEL_TYPES, "benchmark", "metric"]
    groups = results.filter(split="test").group_by(by, maintain_order=True)
    found = [
        (*key, *astuple(mean_interval(group["value"].to_numpy(), resamples=config.bootstrap, seed=config.profile_seed)))
        for key, group in groups
    ]
    schema = {name: results.schema[name] for name in by} | {
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
    return pl.DataFrame(found, schema=schema, orient="row")


def _in_clusters(config: ReportConfig, inputs: Inputs, results: pl.DataFrame) -> pl.DataFrame:
    """Results with the `cluster` and `split` of their question; each question of a task is a cluster of its own."""
    on = ["benchmark", "question_id"]
    asked = results.select(on).unique(maintain_order=True)
    local = [
        given.table(BenchmarkQuestions).rename({"id": "question_id"}) for given in inputs.each("benchmark_questions")
    ]
    for table in local:
        asked = asked.join(table, on=on, how="anti", maintain_order="left")
    alone = with_splits(asked.with_columns(cluster=pl.col("question_id")), config.dev)
    known = pl.concat([table.select(*on, "cluster", "split") for table in (*local, alone)])
    return results.join(known, on=on, how="left", maintain_order="left")


def _steps(inputs: Inputs) -> pl.DataFrame:
    """When and where each artifact was made."""
    read = [name for name, read in recipe_report.inputs.items() if set(MADE) <= set(read.facts)]
    return steps_made([given.fact(fact) for fact in MADE] for name in read for given in inputs.each(name))


def _stack(
    inputs: Inputs, asset: str, table: type[Table], transform: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """One table of every cell, transformed, with its train size, replicate and arm in front."""
    return pl.concat([_placed(transform(given.table(table)), given.cell) for given in inputs.each(asset)])


def _placed(table: pl.DataFrame, cell: Cell) -> pl.DataFrame:
    values = {"train_size": cell.train_size, "replicate": cell.replicate, "arm": _recipe(cell)}
    labels = [pl.lit(value, dtype=LABEL_TYPES[name]).alias(name) for name, value in values.items()]
    return table.select(*labels, pl.all())


def _count_reasons(curated: pl.DataFrame) -> pl.DataFrame:
    return curated.group_by("reason").len("rows").with_columns(pl.col("rows").cast(pl.Int64)).sort("reason")


def _sample(table: pl.DataFrame, seeds: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Up to 200 rows, half kept and half dropped where there are as many, with the nearest seed row."""
    halves = [
        part.sample(min(part.height, SAMPLED_ROWS // 2), seed=seed, shuffle=True)
        for part in (table.filter(pl.col("verdict") == verdict) for verdict in ("kept", "dropped"))
    ]
    nearest = seeds.select(
        pl.col("id").alias("nearest_seed"), pl.col("prompt").alias("nearest_seed_prompt"),
        pl.col("response").alias("nearest_seed_response"),
    )  # fmt: skip
    halves = [half.with_columns(sign_of_error=pl.lit(None, pl.String)) for half in halves]
    found = [sign and f"{sign.reason} ({sign.evidence})" for sign in signs_of_error(halves[0])]
    halves[0] = halves[0].with_columns(sign_of_error=pl.Series(found, dtype=pl.String))
    return pl.concat(halves).join(nearest, on="nearest_seed", how="left", maintain_order="left").select(
        "id", "verdict", "reason", "prompt", "response", pl.col("normsim_2").alias("relevance"), "novelty",
        "nearest_seed_prompt", "nearest_seed_response", "sign_of_error",
    )  # fmt: skip


def _seeds(inputs: Inputs) -> pl.DataFrame:
    """id, prompt and response of the pool's rows; none when it has gone."""
    for given in inputs.each("seed_examples"):
        return given.table(SeedExamples)
    return pl.DataFrame(schema={"id": str, "prompt": str, "response": str})


def _seed_points(inputs: Inputs, seeds: pl.DataFrame) -> pl.DataFrame:
    """The seed rows of each size and replicate; its arms saw the same."""
    points = _stack(inputs, "curated_corpus", SeedPoints, lambda table: table)
    points = points.unique(["train_size", "replicate", "id"], maintain_order=True, keep="first").drop("arm")
    return points.join(seeds.select("id", "prompt"), on="id", how="left", maintain_order="left")


def _corpus_row(config: ReportConfig, inputs: Inputs, profile: Given) -> dict:
    metrics = dict(profile.table(ProfileMetrics).iter_rows())
    seconds = {}
    for label, asset in (
        ("teacher", "teacher_model"), ("synthesis", "synthetic_corpus"), ("curation", "curated_corpus"),
        ("student", "student_model"),
    ):  # fmt: skip
        place = profile.cell.at(Over.CELLS) if asset in ("teacher_model", "synthetic_corpus") else profile.cell
        made = next((given for given in inputs.each(asset) if given.cell == place), None)
        seconds[f"{label}_seconds"] = made.fact("seconds") if made else None
    shown = ("relevance_all", "relevance_sd", "relevance_kept", "novelty_all", "novelty_kept", "distinct_prompts")
    return {
        **_labels(config, profile.cell),
        "attempts": int(metrics["attempts"]),
        "prompts_completed": int(metrics["prompts_completed"]),
        "completed": int(metrics["rows_completed"]),
        "kept": int(metrics["kept"]),
        "keep_target": config.keeps[profile.cell.variant or ""],
        "kept_without_error": int(metrics["kept_without_error"]),
        "agreement_kept": metrics["agreement_kept"],
        **{key: metrics[key] for key in shown},
        "prompt_tokens": int(metrics["prompt_tokens"]),
        "response_tokens": int(metrics["response_tokens"]),
        **seconds,
    }
