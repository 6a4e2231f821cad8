"""Students, and the controls that tell what a synthetic corpus is worth."""

import math
from collections.abc import Mapping

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, check, step
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile, Training
from nomad_assets.recipe.data.seed_pool import take_subset
from nomad_assets.recipe.training.trainer import rows_per_step
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.models import EXAMPLES, TRAINED, TrainingRows, teacher_model, train_model
from nomad_assets.steps.seeds import PoolHead, SeedExamples


def like_every_student(profile: Profile, train_size: int) -> Training:
    """How students and controls of a size are trained: in as many optimizer steps as each other, whatever rows they get."""
    settings = profile.student
    rows = profile.curation.keep + _gold(profile, train_size)
    passes = math.ceil(settings.epochs * rows / rows_per_step(settings))
    training = Training(**settings.model_dump(include=set(Training.model_fields)))
    return training.model_copy(update={"steps": settings.steps or max(passes, settings.min_steps)})


GOLD_KEYS = "grid.train_sizes or student.seeds"


def _gold(profile: Profile, train_size: int) -> int:
    return train_size if profile.student.seeds is None else profile.student.seeds


class StudentConfig(Config):
    student: Training
    gold: PoolHead
    """Seed examples that it is trained on beside the synthetic rows."""
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "StudentConfig":
        profile = grid.profile
        return cls(
            seed=grid.seed("student_model", cell), student=like_every_student(profile, cell.train_size),
            gold=PoolHead.of(grid, cell, _gold(profile, cell.train_size)), dtype=profile.base_model.dtype,
        )  # fmt: skip


def gold_rows(pool: pl.DataFrame, config: "StudentConfig | ControlConfig") -> pl.DataFrame:
    """The seed examples that a student gets."""
    return config.gold.rows(pool)


GOLD = Read({SeedExamples: View(EXAMPLES.columns, gold_rows)})


def kept_rows(curated: pl.DataFrame, config: StudentConfig) -> pl.DataFrame:
    """Scores, evidence and dropped rows train no student."""
    return curated.filter(pl.col("verdict") == "kept")


@step(
    over=Over.CELLS,
    inputs={
        "curated_corpus": Read({CuratedCorpus: View(EXAMPLES.columns, kept_rows)}),
        "seed_examples": GOLD,
        "base_model": Read(files=(MODEL,)),
    },
    tables=TRAINED, files=(MODEL,), version="4", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def student_model(config: StudentConfig, inputs: Inputs, out: Output) -> None:
    """A student: the base model trained on the kept synthetic rows and seed examples, loss on responses alone.

    Wrong if it was trained on rows that curation dropped.
    """
    synthetic = list(inputs["curated_corpus"].table(CuratedCorpus).iter_rows())
    seeds = list(take_subset(inputs["seed_examples"].table(SeedExamples), config.gold.size, GOLD_KEYS).iter_rows())
    if not seeds + synthetic:
        raise NomadError("curation kept no row of the corpus and student.seeds is 0; there is nothing to train on")
    train_model(inputs, out, seeds + synthetic, config.student, 0.0, config.dtype, config.seed)
    out.metrics["synthetic_rows"] = len(synthetic)


class ControlConfig(Config):
    student: Training
    gold: PoolHead
    """Seed examples that it is trained on: those of the students, or of their teachers where students get none."""
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "ControlConfig":
        profile = grid.profile
        gold = _gold(profile, cell.train_size) or cell.train_size
        return cls(
            seed=grid.seed("control_model", cell), student=like_every_student(profile, cell.train_size),
            gold=PoolHead.of(grid, cell, gold), dtype=profile.base_model.dtype,
        )  # fmt: skip


@step(
    over=Over.SIZES,
    inputs={"seed_examples": GOLD, "base_model": Read(files=(MODEL,))},
    tables=TRAINED, files=(MODEL,), version="4", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def control_model(config: ControlConfig, inputs: Inputs, out: Output) -> None:
    """The control: the base model trained like a student, for as many steps, but on seed examples alone.

    A synthetic corpus is worth something where its student beats this.
    """
    seeds = list(take_subset(inputs["seed_examples"].table(SeedExamples), config.gold.size, GOLD_KEYS).iter_rows())
    train_model(inputs, out, seeds, config.student, 0.0, config.dtype, config.seed)


@check(teacher_model, student_model, control_model)
def every_row_has_a_supervised_token(stored: Stored) -> Finding:
    """No row that the model was trained on is without loss."""
    table = stored.table(TrainingRows)
    without = table.filter(pl.col("used") & (pl.col("supervised_tokens") < 1))
    used = table.filter("used").height
    if table.is_empty() and stored.artifact.manifest.metrics.get("steps") == 0:
        return Finding(True, "the untouched base model, which was trained on nothing", {"rows_used": 0})
    text = f"{without.height} of {used} rows carry no loss" if without.height else f"{used} rows, all with loss"
    return Finding(used > 0 and without.height == 0, text, {"rows_used": used}, without.to_dicts())
