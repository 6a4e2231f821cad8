"""Students: the base model trained on what a selection takes of a corpus."""

import math
import random
from collections.abc import Mapping

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, step
from nomad_assets.errors import NomadError
from nomad_assets.profile.grid_settings import SHUFFLED
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.data.seed_pool import take_subset
from nomad_assets.recipe.training.trainer import rows_per_step
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.models import EXAMPLES, TRAINED, train_model
from nomad_assets.steps.seeds import PoolHead, SeedExamples


def like_every_student(profile: Profile, train_size: int) -> Training:
    """How students and controls of a size are trained: in as many optimizer steps as each other, or over as many supervised
    tokens, whatever rows they get."""
    settings = profile.student
    training = Training(**settings.model_dump(include=set(Training.model_fields)))
    if settings.tokens is not None:
        return training
    rows = profile.curation.keep + gold_of(profile, train_size, None)
    passes = math.ceil(settings.epochs * rows / rows_per_step(settings))
    return training.model_copy(update={"steps": settings.steps or max(passes, settings.min_steps)})


GOLD_KEYS = "grid.train_sizes or student.seeds"


def gold_of(profile: Profile, train_size: int, selection: str | None) -> int:
    """Seed examples that a student gets beside synthetic rows."""
    seeds = profile.mix_of(selection).seeds
    return train_size if seeds is None else seeds


class StudentConfig(Config):
    student: Training
    gold: PoolHead
    """Seed examples that it is trained on beside the synthetic rows."""
    order: str
    """Whether one kind of rows is trained on before the other."""
    shuffled: bool
    """Whether each kept prompt gets another row's response: the control of that name."""
    dtype: str
    """Storage type of the weights."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "StudentConfig":
        profile = grid.profile
        return cls(
            seed=grid.seed("student_model", cell), student=like_every_student(profile, cell.train_size),
            gold=PoolHead.of(grid, cell, gold_of(profile, cell.train_size, cell.variant)),
            order=profile.mix_of(cell.variant).order,
            shuffled=cell.variant == SHUFFLED and profile.controls.shuffled, dtype=profile.base_model.dtype,
        )  # fmt: skip


def gold_rows(pool: pl.DataFrame, config: StudentConfig) -> pl.DataFrame:
    """The seed examples that a student gets."""
    return config.gold.rows(pool)


def kept_rows(curated: pl.DataFrame, config: StudentConfig) -> pl.DataFrame:
    """Scores, evidence and dropped rows train no student."""
    return curated.filter(pl.col("verdict") == "kept")


@step(
    over=Over.SELECTIONS,
    inputs={
        "curated_corpus": Read({CuratedCorpus: View(EXAMPLES.columns, kept_rows)}),
        "seed_examples": Read({SeedExamples: View(EXAMPLES.columns, gold_rows)}),
        "base_model": Read(files=(MODEL,)),
    },
    tables=TRAINED, files=(MODEL,), version="5", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def student_model(config: StudentConfig, inputs: Inputs, out: Output) -> None:
    """A student: the base model trained on the kept synthetic rows and seed examples, loss on responses alone.

    Wrong if it was trained on rows that curation dropped.
    """
    synthetic = list(inputs["curated_corpus"].table(CuratedCorpus).iter_rows())
    seeds = list(take_subset(inputs["seed_examples"].table(SeedExamples), config.gold.size, GOLD_KEYS).iter_rows())
    if not seeds + synthetic:
        raise NomadError("curation kept no row of the corpus and student.seeds is 0; there is nothing to train on")
    if config.shuffled:
        synthetic = shuffled(synthetic, config.seed)
    later = {"mixed": [], "seeds_first": synthetic, "seeds_last": seeds}[config.order]
    train_model(
        inputs, out, seeds + synthetic, config.student, 0.0, config.dtype, config.seed, later={row[0] for row in later}
    )
    out.metrics["synthetic_rows"] = len(synthetic)


def shuffled(rows: list[tuple[str, str, str]], seed: int) -> list[tuple[str, str, str]]:
    """(id, prompt, response) rows, each with the response of another one: all of them in one ring of a random order."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    response = {row: rows[other][2] for row, other in zip(order, order[1:] + order[:1], strict=True)}
    return [(row_id, prompt, response[number]) for number, (row_id, prompt, _) in enumerate(rows)]
