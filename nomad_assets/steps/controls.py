"""Controls: students without a teacher's rows, which tell what a synthetic corpus is worth."""

import json
import shutil
from collections.abc import Mapping

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, check, step
from nomad_assets.errors import NomadError
from nomad_assets.profile.fields import Section
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Evaluation, Sampling, Scoring, Training
from nomad_assets.recipe.data.seed_pool import take_subset
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY, primary
from nomad_assets.recipe.evaluation.evaluate import evaluate
from nomad_assets.recipe.generation.new_answers import Example, new_answers
from nomad_assets.recipe.models.device import DECODED_ROWS, agreed_precision
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.benchmarks import BenchmarkQuestions, scorers
from nomad_assets.steps.external import ExternalPlugin
from nomad_assets.steps.models import EXAMPLES, TRAINED, TrainingRows, teacher_model, train_folder_on, train_model
from nomad_assets.steps.scores import scoring_of
from nomad_assets.steps.seeds import PoolHead, SeedExamples
from nomad_assets.steps.students import GOLD_KEYS, gold_of, like_every_student, student_model

TUNED = "seeds_tuned"


class Tuning(Section):
    """The numbers of epochs to choose among, and how that is scored."""

    epochs: list[float]
    benchmarks: dict[str, Scoring]
    scorers: dict[str, ExternalPlugin]
    evaluation: Evaluation

    @classmethod
    def of(cls, profile: Profile) -> "Tuning":
        local = {name: scoring for name, scoring in scoring_of(profile).items() if scoring.task is None}
        return cls(
            epochs=profile.controls.seeds_tuned,
            benchmarks=local,
            scorers=scorers(profile),
            evaluation=profile.evaluation,
        )


class Answering(Section):
    """How new answers to seed prompts are sampled."""

    each: int
    most: int
    sampling: Sampling
    evaluation: Evaluation
    """Its precision and batch size: they are sampled as questions are answered."""


class ControlConfig(Config):
    student: Training
    gold: PoolHead
    """Seed examples that it is trained on."""
    prompt_loss_weight: float
    dtype: str
    """Storage type of the weights."""
    tuning: Tuning | None
    """Of the control of that name alone."""
    answering: Answering | None
    """Likewise."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "ControlConfig":
        profile, name = grid.profile, cell.variant
        controls, keep = profile.controls, profile.curation.keep
        gold = gold_of(profile, cell.train_size, None) or cell.train_size
        return cls(
            seed=grid.seed("student_model", cell), student=like_every_student(profile, cell.train_size),
            gold=PoolHead.of(grid, cell, gold + keep if name == "gold" else gold),
            prompt_loss_weight=controls.prompt_loss_student if name == "prompt_loss_student" else 0.0,
            dtype=profile.base_model.dtype,
            tuning=Tuning.of(profile) if name == TUNED else None,
            answering=Answering(
                each=controls.new_answers, most=keep, sampling=profile.synthesis.response, evaluation=profile.evaluation
            ) if name == "new_answers" else None,
        )  # fmt: skip


def gold_rows(pool: pl.DataFrame, config: ControlConfig) -> pl.DataFrame:
    """The seed examples that a control gets."""
    return config.gold.rows(pool)


def dev_questions(questions: pl.DataFrame, config: ControlConfig) -> pl.DataFrame:
    """The questions that epochs are chosen on."""
    return questions.filter(split="dev")


def is_tuned(grid, cell: Cell) -> bool:
    return cell.variant == TUNED


ASKED = ("id", "benchmark", "question", "answers", "reference")


@step(
    over=Over.CONTROLS,
    inputs={
        "seed_examples": Read({SeedExamples: View(EXAMPLES.columns, gold_rows)}),
        "base_model": Read(files=(MODEL,)),
        "benchmark_questions": Read({BenchmarkQuestions: View(ASKED, dev_questions)}, when=is_tuned),
    },
    tables=TRAINED, files=(MODEL,), version="5", group="students", kinds=("huggingface", "pytorch"), heavy=True,
)  # fmt: skip
def control_model(config: ControlConfig, inputs: Inputs, out: Output) -> None:
    """A control: the base model trained like a student, but on no teacher's rows. That of seed examples alone, for as many
    steps, always runs; `[controls]` adds others.

    A synthetic corpus is worth something where its student beats the strongest of them.
    """
    taken = take_subset(inputs["seed_examples"].table(SeedExamples), config.gold.size, GOLD_KEYS)
    seeds, settings = list(taken.iter_rows()), config.student
    if config.tuning:
        epochs = _best_epochs(config, inputs, out, seeds)
        settings = _for(settings, epochs)
        out.metrics["epochs"] = epochs
    answers: list[Example] = []
    if config.answering:
        answers = _answers(config, inputs, out, seeds)
        out.metrics["new_answers"] = len(answers)
    train_model(inputs, out, seeds + answers, settings, config.prompt_loss_weight, config.dtype, config.seed)


def _for(settings: Training, epochs: float) -> Training:
    return settings.model_copy(update={"steps": None, "tokens": None, "min_steps": 0, "epochs": epochs})


def _best_epochs(config: ControlConfig, inputs: Inputs, out: Output, seeds: list[Example]) -> float:
    """The number of epochs whose model has the best mean share right on the dev questions; of equals the one that gives the
    right answers the higher log-probability. What was scored is noted in scratch, so that a killed step goes on."""
    scored: dict[float, tuple[float, float]] = {}
    for epochs in config.tuning.epochs:
        folder = out.scratch / f"epochs-{epochs:g}"
        note = folder / "scores.json"
        if not note.is_file():
            train_folder_on(
                inputs,
                out,
                seeds,
                _for(config.student, epochs),
                0.0,
                config.dtype,
                config.seed,
                folder,
                folder / "model",
            )
            found = _score(config, inputs, out, folder / "model")
            shutil.rmtree(folder / "model")
            note.write_text(json.dumps(found), encoding="utf-8")
        scored[epochs] = tuple(json.loads(note.read_text(encoding="utf-8")))
    return max(scored, key=scored.__getitem__)


def _score(config: ControlConfig, inputs: Inputs, out: Output, model) -> tuple[float, float]:
    """(mean over benchmarks of the primary metric, mean log-probability of the right answers) on the dev questions."""
    tuning = config.tuning
    questions = inputs["benchmark_questions"].table(BenchmarkQuestions)
    asked = {name: scoring for name, scoring in tuning.benchmarks.items() if name in questions["benchmark"]}
    scores = evaluate(
        model, asked, questions, batch_size=tuning.evaluation.batch_size, resamples=1, seed=config.seed,
        precision=agreed_precision(tuning.evaluation.precision, DECODED_ROWS, out.agreed), progress=out.progress,
        plugins={name: scorer.plugin for name, scorer in tuning.scorers.items() if name in asked},
    ).scores  # fmt: skip
    means = {name: dict(scores.filter(benchmark=name).select("metric", "mean").iter_rows()) for name in asked}
    right = [found[primary([metric for metric in found if metric != LOG_PROBABILITY])] for found in means.values()]
    return sum(right) / len(right), sum(found[LOG_PROBABILITY] for found in means.values()) / len(means)


def _answers(config: ControlConfig, inputs: Inputs, out: Output, seeds: list[Example]) -> list[Example]:
    """New answers by the control of seeds alone, which is trained for them; kept in scratch once they are written."""
    answering, folder = config.answering, out.scratch / "answerer"
    note = folder / "answers.json"
    if not note.is_file():
        train_folder_on(
            inputs, out, seeds, config.student, 0.0, config.dtype, config.seed, folder, folder / "model"
        )  # fmt: skip
        found = new_answers(
            folder / "model", seeds, answering.each, answering.sampling, answering.most, seed=config.seed,
            batch_size=answering.evaluation.batch_size,
            precision=agreed_precision(answering.evaluation.precision, DECODED_ROWS, out.agreed), progress=out.progress,
        )  # fmt: skip
        shutil.rmtree(folder / "model")
        note.write_text(json.dumps(found), encoding="utf-8")
    found = [tuple(example) for example in json.loads(note.read_text(encoding="utf-8"))]
    if not found:
        raise NomadError(
            f"controls.new_answers: none of {answering.each} answers to each of {len(seeds)} seed prompts came to the seed's "
            "own final answer; sample more, or leave this control out"
        )
    return found


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
