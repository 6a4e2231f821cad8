"""Students, and the controls that tell what a synthetic corpus is worth."""

from collections.abc import Mapping

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, check, step
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import StudentTraining, Training
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.models import EXAMPLES, TRAINED, TrainingRows, teacher_model, train_model
from nomad_assets.steps.seeds import SeedSubset


class StudentConfig(Config):
    student: StudentTraining
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "StudentConfig":
        return cls(
            seed=grid.seed("student_model", cell), student=grid.profile.student, dtype=grid.profile.base_model.dtype
        )  # fmt: skip


def kept_rows(curated: pl.DataFrame, config: StudentConfig) -> pl.DataFrame:
    """Scores, evidence and dropped rows train no student."""
    return curated.filter(pl.col("verdict") == "kept")


@step(
    over=Over.CELLS,
    inputs={
        "curated_corpus": Read({CuratedCorpus: View(EXAMPLES.columns, kept_rows)}),
        "seed_subset": Read({SeedSubset: EXAMPLES}),
        "base_model": Read(files=(MODEL,)),
    },
    tables=TRAINED, files=(MODEL,), version="3", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def student_model(config: StudentConfig, inputs: Inputs, out: Output) -> None:
    """A student: the base model trained on the kept synthetic rows (and the seed subset), loss on responses alone.

    Wrong if it was trained on rows that curation dropped.
    """
    synthetic = list(inputs["curated_corpus"].table(CuratedCorpus).iter_rows())
    seeds = list(inputs["seed_subset"].table(SeedSubset).iter_rows()) if config.student.include_seeds else []
    if not seeds + synthetic:
        raise NomadError(
            "curation kept no row of the corpus and student.include_seeds is false; there is nothing to train on"
        )
    train_model(inputs, out, seeds + synthetic, config.student, 0.0, config.dtype, config.seed)
    out.metrics["synthetic_rows"] = len(synthetic)


class ControlConfig(Config):
    student: Training
    """As a student is trained; it has no synthetic rows to be with or without."""
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "ControlConfig":
        profile = grid.profile
        training = Training(**profile.student.model_dump(include=set(Training.model_fields)))
        return cls(seed=grid.seed("control_model", cell), student=training, dtype=profile.base_model.dtype)


@step(
    over=Over.SIZES,
    inputs={"seed_subset": Read({SeedSubset: EXAMPLES}), "base_model": Read(files=(MODEL,))},
    tables=TRAINED, files=(MODEL,), version="3", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def control_model(config: ControlConfig, inputs: Inputs, out: Output) -> None:
    """The control: the base model trained like a student, but on the seed subset alone.

    A synthetic corpus is worth something where its student beats this.
    """
    seeds = list(inputs["seed_subset"].table(SeedSubset).iter_rows())
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
