"""Teachers, students and controls: one training step, three uses."""

import dagster as dg
import polars as pl

from nomad_assets import schemas
from nomad_assets.assets.inputs import preview
from nomad_assets.assets.machine import TRAINED_ROWS, work_precision
from nomad_assets.assets.project import Outcome, Project, Work
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.loading import load_tokenizer, quiet
from nomad_assets.recipe.models.turns import Turns, training_rows
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.training.launch import train_folder


def model_assets(project: Project) -> list[dg.AssetsDefinition]:
    return [asset(project) for asset in (_teacher_model, _student_model, _control_model)]


def _teacher_model(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def teacher_model(work: Work) -> Outcome:
        """A model fine-tuned to write training data: loss on the response and, weighted by its arm, on the prompt.

        Wrong if its loss did not fall, or if it has not learned to close a prompt with the end-of-turn token.
        """
        weight = work.grid.arms[work.cell.arm].weight
        return train_model(work, _examples(work.read("seed_subset", "seeds.parquet")), weight, work.profile.teacher)

    return teacher_model


def _student_model(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def student_model(work: Work) -> Outcome:
        """A student: the base model trained on the kept synthetic rows (and the seed subset), loss on responses alone.

        Wrong if it was trained on rows that curation dropped.
        """
        curated = work.read("curated_corpus", "curated.parquet").filter(pl.col("verdict") == "kept")
        examples = _examples(curated)
        if work.profile.student.include_seeds:
            examples = _examples(work.read("seed_subset", "seeds.parquet")) + examples
        if not examples:
            raise NomadError(
                "curation kept no row of the corpus and student.include_seeds is false; there is nothing to train on"
            )
        outcome = train_model(work, examples, 0.0, work.profile.student)
        outcome.metrics["synthetic_rows"] = curated.height
        return outcome

    return student_model


def _control_model(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def control_model(work: Work) -> Outcome:
        """The control: the base model trained like a student, but on the seed subset alone.

        A synthetic corpus is worth something where its student beats this.
        """
        return train_model(work, _examples(work.read("seed_subset", "seeds.parquet")), 0.0, work.profile.student)

    return control_model


def _examples(table: pl.DataFrame) -> list[tuple[str, str, str]]:
    return list(table.select("id", "prompt", "response").iter_rows())


def train_model(
    work: Work, examples: list[tuple[str, str, str]], prompt_loss_weight: float, settings: Training
) -> Outcome:
    """Train the base model on (id, prompt, response) triples and stage it as `model/` with its curve."""
    quiet()
    base = work.parent("base_model") / "model"
    turns = Turns(load_tokenizer(base), str(base))
    rows, too_long = training_rows(turns, examples, prompt_loss_weight, settings.max_length)
    precision = work_precision(work.store, settings.precision, TRAINED_ROWS)
    result = train_folder(
        base,
        rows,
        settings.model_copy(update={"precision": precision}),
        seed=work.seed,
        scratch=work.scratch,
        out=work.stage / "model",
        dtype=work.profile.base_model.dtype,
        progress=work.progress,
    )
    curve = pl.DataFrame(result.curve, schema={"step": int, "loss": float, "learning_rate": float, "grad_norm": float})
    work.write(curve, "curve.parquet", schemas.TrainingCurve)
    used = [(row.id, len(row.input_ids), row.supervised, True) for row in rows]
    unused = [(row["id"], row["tokens"], 0, False) for row in too_long]
    columns = {"id": str, "tokens": int, "supervised_tokens": int, "used": bool}
    table = pl.DataFrame(used + unused, schema=columns, orient="row")
    work.write(table, "rows.parquet", schemas.TrainingRows)
    losses = curve["loss"].to_list()
    return Outcome(
        rows=len(rows),
        tokens=result.tokens,
        metrics={
            "loss_first": losses[0], "loss_last": losses[-1], "steps": result.steps, "rows_too_long": len(too_long),
            "supervised_tokens": result.supervised_tokens, "precision": result.precision,
            "prompt_loss_weight": prompt_loss_weight, "resumed_from_step": result.resumed_from,
            "training_curve": [[entry["step"], entry["loss"]] for entry in result.curve],
        },
        metadata={"training_curve": picture("training curve", plots.training_curve(curve)), "preview": preview(table)},
    )  # fmt: skip


def picture(alt: str, figure) -> dg.MetadataValue:
    """A plot as a small inline PNG, which the UI shows inside the metadata."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{plots.png_base64(figure)})")
