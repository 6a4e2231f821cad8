"""Trained models: the teachers, and what students and controls share with them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pandera.polars as pa
import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output, Picture
from nomad_assets.engine.step import Config, Read, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.device import TRAINED_ROWS, agreed_precision
from nomad_assets.recipe.models.loading import link_model, load_tokenizer, quiet
from nomad_assets.recipe.models.turns import TrainingRow, Turns, training_rows
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.training.launch import train_folder
from nomad_assets.recipe.training.trainer import TrainingResult
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.seeds import SeedSubset

MIN_STEPS = 4  # of a training run whose loss tells anything
TEXTS = ("prompt", "response")
EXAMPLES = View(("id", *TEXTS))


class TrainingRows(Table):
    """What a model was trained on, row by row."""

    id: str = column("seed row or synthetic row", unique=True, computed_from=("id",))
    tokens: int = column("with the chat template's scaffolding", ge=1, computed_from=TEXTS)
    supervised_tokens: int = column("tokens with loss; 0 for a row not used", ge=0, computed_from=TEXTS)
    used: bool = column("false: longer than max_length, left out", computed_from=TEXTS)

    @pa.dataframe_check
    def every_used_row_has_a_supervised_token(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("used") == (pl.col("supervised_tokens") > 0))


class TrainingCurve(Table):
    """One row per optimizer step."""

    step: int = column("optimizer step, from 1", ge=1, unique=True)
    loss: float = column("nats per unit of loss weight", ge=0, lt=float("inf"))
    learning_rate: float = column("of that step", ge=0)
    grad_norm: float = column("before clipping", ge=0, lt=float("inf"))


ROWS = {"id": str, "tokens": int, "supervised_tokens": int, "used": bool}
CURVE = {"step": int, "loss": float, "learning_rate": float, "grad_norm": float}
TRAINED = {"rows.parquet": TrainingRows, "curve.parquet": TrainingCurve}


class TeacherConfig(Config):
    teacher: Training | None
    """None where the teacher is the untouched base model."""
    prompt_loss_weight: float | None
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "TeacherConfig":
        arm = grid.arms[cell.arm]
        return cls(
            seed=grid.seed("teacher_model", cell), teacher=arm.teacher, prompt_loss_weight=arm.prompt_loss,
            dtype=grid.profile.base_model.dtype,
        )  # fmt: skip


@step(
    over=Over.CELLS,
    inputs={"seed_subset": Read({SeedSubset: EXAMPLES}), "base_model": Read(files=(MODEL,))},
    tables=TRAINED, files=(MODEL,), version="3", group="teachers", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def teacher_model(config: TeacherConfig, inputs: Inputs, out: Output) -> None:
    """A model that writes training data: fine-tuned with loss on the response and, weighted by its arm, on the prompt; or the
    untouched base model, where its arm says so.

    Wrong if its loss did not fall, or if it has not learned to close a prompt with the end-of-turn token.
    """
    if config.teacher is None:
        link_model(inputs["base_model"].path(MODEL), out.path(MODEL))
        out.write(pl.DataFrame(schema=ROWS), TrainingRows)
        out.write(pl.DataFrame(schema=CURVE), TrainingCurve)
        out.report(rows=0, tokens=0, steps=0)
        return
    examples = list(inputs["seed_subset"].table(SeedSubset).iter_rows())
    train_model(inputs, out, examples, config.teacher, config.prompt_loss_weight, config.dtype, config.seed)


@teacher_model.check()
def teacher_loss_fell(stored: Stored) -> Finding:
    """The mean loss of the last quarter of the steps is below that of the first quarter; under 4 steps nothing is said."""
    losses = stored.table(TrainingCurve).sort("step")["loss"].to_list()
    if len(losses) < MIN_STEPS:
        return Finding(True, f"{len(losses)} optimizer steps are too few to tell")
    quarter = max(1, len(losses) // 4)
    first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
    text = f"from {first:.3f} to {last:.3f} nats in {len(losses)} steps"
    return Finding(last < first, text, {"loss_first_quarter": first, "loss_last_quarter": last})


def train_folder_on(
    inputs: Inputs,
    out: Output,
    examples: list[tuple[str, str, str]],
    settings: Training,
    prompt_loss_weight: float,
    dtype: str,
    seed: int,
    scratch: Path,
    folder: Path,
    later: Collection[str] = (),
) -> tuple[TrainingResult, list[TrainingRow], list[dict]]:
    """Train the base model into a folder: the result, the rows that were trained on, and those that were too long."""
    quiet()
    base = inputs["base_model"].path(MODEL)
    turns = Turns(load_tokenizer(base), str(base))
    rows, too_long = training_rows(turns, examples, prompt_loss_weight, settings.max_length)
    rows = [replace(row, phase=1) if row.id in later else row for row in rows]
    precision = agreed_precision(settings.precision, TRAINED_ROWS, out.agreed)
    result = train_folder(
        base, rows, settings.model_copy(update={"precision": precision}),
        seed=seed, scratch=scratch, out=folder, dtype=dtype, progress=out.progress,
    )  # fmt: skip
    return result, rows, too_long


def train_model(
    inputs: Inputs,
    out: Output,
    examples: list[tuple[str, str, str]],
    settings: Training,
    prompt_loss_weight: float,
    dtype: str,
    seed: int,
    later: Collection[str] = (),
) -> None:
    """Train the base model on (id, prompt, response) triples and write the model, its curve and its rows. Rows whose ids are in
    `later` are trained on after the others."""
    result, rows, too_long = train_folder_on(
        inputs, out, examples, settings, prompt_loss_weight, dtype, seed, out.scratch, out.path(MODEL), later
    )
    curve = pl.DataFrame(result.curve, schema=CURVE)
    out.write(curve, TrainingCurve)
    used = [(row.id, len(row.input_ids), row.supervised, True) for row in rows]
    unused = [(row["id"], row["tokens"], 0, False) for row in too_long]
    table = pl.DataFrame(used + unused, schema=ROWS, orient="row")
    out.write(table, TrainingRows)
    losses = curve["loss"].to_list()
    out.report(
        rows=len(rows), tokens=result.tokens,
        loss_first=losses[0], loss_last=losses[-1], steps=result.steps, rows_too_long=len(too_long),
        supervised_tokens=result.supervised_tokens, precision=result.precision, prompt_loss_weight=prompt_loss_weight,
        resumed_from_step=result.resumed_from, training_curve=[[entry["step"], entry["loss"]] for entry in result.curve],
    )  # fmt: skip
    out.show("training_curve", Picture("training curve", plots.training_curve(curve)))
    out.show("preview", table)
