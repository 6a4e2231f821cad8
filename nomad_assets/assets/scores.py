"""Scores of students, controls and the untouched base model, all by the same function."""

import dagster as dg
import polars as pl

from nomad_assets import schemas
from nomad_assets.assets.inputs import preview, stored_questions
from nomad_assets.assets.machine import DECODED_ROWS, work_precision
from nomad_assets.assets.project import Outcome, Project, Work
from nomad_assets.plugins import in_profile
from nomad_assets.recipe.evaluation.evaluate import evaluate
from nomad_assets.recipe.models.loading import quiet


def score_assets(project: Project) -> list[dg.AssetsDefinition]:
    return [asset(project) for asset in (_student_scores, _control_scores, _base_scores)]


def _student_scores(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def student_scores(work: Work) -> Outcome:
        """The student's answers to every benchmark question, and its scores with 95% bootstrap intervals.

        Wrong if a question is missing or answered twice.
        """
        return _score(work, "student_model")

    return student_scores


def _control_scores(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def control_scores(work: Work) -> Outcome:
        """The seed-only control's answers and scores."""
        return _score(work, "control_model")

    return control_scores


def _base_scores(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def base_scores(work: Work) -> Outcome:
        """The untouched base model's answers and scores."""
        return _score(work, "base_model")

    return base_scores


def _score(work: Work, model: str) -> Outcome:
    quiet()
    settings = work.profile.evaluation
    tables = stored_questions(work)
    empty = pl.DataFrame(
        schema={"id": str, "benchmark": str, "question": str, "answers": pl.List(pl.String), "reference": str}
    )
    plugins = in_profile(work.profile)
    # Every model's intervals are drawn with the same seed, so that equal results get equal intervals.
    found = evaluate(
        work.parent(model) / "model",
        work.profile.benchmarks,
        pl.concat([empty, *tables.values()]),
        batch_size=settings.batch_size,
        resamples=settings.bootstrap,
        seed=work.profile.seed,
        precision=work_precision(work.store, settings.precision, DECODED_ROWS),
        progress=work.progress,
        plugins={n: plugins[k] for n in work.profile.benchmarks if (k := f"benchmarks.{n}.rule") in plugins},
    )
    work.write(found.results, "results.parquet", schemas.QuestionResults)
    work.write(found.responses, "responses.parquet", schemas.Responses)
    work.write(found.scores, "scores.parquet", schemas.Scores)
    metrics: dict = {f"{row['benchmark']}_{row['metric']}": row["mean"] for row in found.scores.iter_rows(named=True)}
    for bound in ("low", "high"):
        metrics |= {f"{r['benchmark']}_{r['metric']}_{bound}": r[bound] for r in found.scores.iter_rows(named=True)}
    metrics["precision"] = found.precision
    return Outcome(
        rows=found.responses.height,
        tokens=found.generated_tokens,
        metrics=metrics,
        metadata={
            "scores": preview(found.scores, rows=found.scores.height),
            "preview": preview(found.responses.select("question", "response", "reference")),
        },
    )
