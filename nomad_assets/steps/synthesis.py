"""The synthetic corpus: what a teacher writes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandera.polars as pa
import polars as pl

from nomad_assets import plugins
from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import CONTROL, TEACHER, Synthesis, Verifier
from nomad_assets.recipe import warm
from nomad_assets.recipe.curation.user_rules import UNVERIFIABLE, OneRow, open_user_rule
from nomad_assets.recipe.generation.context import Context
from nomad_assets.recipe.generation.engine import Engine, choose_engine
from nomad_assets.recipe.generation.synthesis import completed, responses_saved, synthesize
from nomad_assets.recipe.models.base_models import build_base_model
from nomad_assets.recipe.models.device import DECODED_ROWS, agreed_precision
from nomad_assets.recipe.models.loading import load_tokenizer, longest_row, quiet
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.external import ExternalModel, ExternalPlugin, ExternalTemplate
from nomad_assets.steps.seeds import SeedSubset

ENDINGS = ["completed", "length", "empty", "malformed"]


class SyntheticCorpus(Table):
    """Every attempt, and how it ended."""

    id: str = column("cell, attempt and response index", unique=True)
    attempt: int = column("number of the prompt, from 0", ge=0)
    response_index: int = column("number of the response to it, from 0", ge=0)
    prompt_end: str = column("how the prompt ended", isin=ENDINGS)
    response_end: str = column("how the response ended", isin=[*ENDINGS, "not_attempted"])
    prompt: str = column("as the teacher wrote it")
    response: str = column("as it was answered", nullable=True)
    final_answer: str = column("what the response comes down to", nullable=True)
    agreement: float = column(
        "share of the prompt's responses with its most frequent final answer; those not sampled agree with none",
        nullable=True,
        ge=0,
        le=1,
    )
    majority_answer: bool = column("whether this row's final answer is the most frequent one", nullable=True)
    prompt_tokens: int = column("written for the prompt", ge=0)
    response_tokens: int = column("written for the response", ge=0)
    prompt_seed: int = column("of the prompt's random numbers", ge=0)
    response_seed: int = column("of the response's random numbers", nullable=True, ge=0)

    @pa.dataframe_check
    def only_proper_prompts_are_answered(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(
            (pl.col("prompt_end") == "completed") == (pl.col("response_end") != "not_attempted")
        )


class SynthesisConfig(Config):
    synthesis: Synthesis
    engine: ExternalPlugin | None
    """Where it is a plug-in."""
    shots: int
    """Seed examples in the context of each attempt."""
    cell: str
    """The label that rows are named after."""
    right: Verifier | None
    """What tells a right response, where sampling stops at one."""
    right_plugin: ExternalPlugin | None
    answerer: ExternalModel | None
    """Where it is no model of the grid."""
    answerer_chat_template: ExternalTemplate | None
    answerer_dtype: str | None

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "SynthesisConfig":
        profile, arm = grid.profile, grid.arms[cell.arm]
        settings, named = arm.synthesis, plugins.in_profile(profile)
        other = settings.answerer_source is not None
        engine = named.get(f"grid.arms.{cell.arm}.synthesis.engine") or named.get("synthesis.engine")
        engine = engine if engine and engine.use == settings.engine else None
        right = profile.curation.named_verifiers().get(settings.stop_at_right)
        return cls(
            right=right, right_plugin=_code_of(right, profile) if right else None,
            seed=grid.seed("synthetic_corpus", cell), synthesis=settings, shots=arm.shots, cell=cell.label,
            engine=ExternalPlugin.of(engine) if engine else None,
            answerer=ExternalModel.of(profile, settings.answerer_source) if other else None,
            answerer_chat_template=ExternalTemplate.of(profile, settings.answerer_chat_template) if other else None,
            answerer_dtype=profile.base_model.dtype if other else None,
        )  # fmt: skip


def _code_of(verifier: Verifier, profile: Profile) -> ExternalPlugin:
    place = profile.curation.verifiers.index(verifier)
    return ExternalPlugin.of(
        plugins.locate("verifiers", verifier.use, profile.folder, f"curation.verifiers.{place}.use")
    )


def rows_for_context(subset: pl.DataFrame, config: SynthesisConfig) -> pl.DataFrame:
    """The seed rows that shots are drawn from; none where there are no shots."""
    return subset if config.shots else subset.clear()


def answered_by_control(grid, cell: Cell) -> bool:
    return grid.arms[cell.arm].synthesis.answerer == CONTROL


@step(
    over=Over.CELLS,
    inputs={
        "teacher_model": Read(files=(MODEL,)),
        "control_model": Read(files=(MODEL,), when=answered_by_control),
        "seed_subset": Read({SeedSubset: View(("prompt", "response"), rows_for_context)}),
    },
    tables={"corpus.parquet": SyntheticCorpus},
    version="4", group="corpora", kinds=("pytorch", "polars"), heavy=True,
)  # fmt: skip
def synthetic_corpus(config: SynthesisConfig, inputs: Inputs, out: Output) -> None:
    """Every attempt of the teacher at a training example: prompt, response, how each ended, tokens, seed.

    Wrong if an attempt is missing. That few of them completed is a result: a masked teacher never learned to end a prompt.
    """
    quiet()
    settings, teacher = config.synthesis, inputs["teacher_model"].path(MODEL)
    turns = Turns(load_tokenizer(teacher), str(teacher))
    context = Context(
        turns, inputs["seed_subset"].table(SeedSubset).select("prompt", "response").rows(), config.shots, config.seed
    )
    context.check_fits(settings.prompt.max_new_tokens, longest_row(teacher))
    name = _chosen_engine(config, out)
    control = inputs["control_model"].path(MODEL) if settings.answerer == CONTROL else None
    pair = _EnginePair(config, out, name, control, context.longest)
    whole = False
    try:
        corpus = synthesize(
            settings, pair.open_writer(teacher, turns), pair.answerer, turns,
            context=context.of, seed_parts=(config.seed,), cell=config.cell, scratch=out.scratch / "shards", progress=out.progress,
            is_right=_judge(config),
        )  # fmt: skip
        whole = True
    finally:
        pair.close(whole)
    out.write(corpus, SyntheticCorpus)
    attempts = corpus["attempt"].n_unique()
    ended = corpus.filter(pl.col("prompt_end") == "completed")["attempt"].n_unique()
    prompts = corpus.unique("attempt", keep="first", maintain_order=True)
    prompt_tokens, response_tokens = int(prompts["prompt_tokens"].sum()), int(corpus["response_tokens"].sum())
    out.report(
        rows=corpus.height, tokens=prompt_tokens + response_tokens,
        engine=name, precision=pair.writer.precision, attempts=attempts, prompts_completed=ended,
        rows_completed=completed(corpus).height, prompt_completion_rate=ended / attempts,
        prompt_tokens=prompt_tokens, response_tokens=response_tokens,
        responses_saved=responses_saved(corpus, settings.responses_per_prompt),
    )  # fmt: skip
    out.show("preview", completed(corpus).select("prompt", "response"))


def _judge(config: SynthesisConfig) -> Callable[[dict], bool | None] | None:
    """What tells whether a row is right, where sampling stops at one that is; it sees the row alone, and gives None for a
    prompt that it knows no answer to."""
    if config.right is None:
        return None
    rule = open_user_rule(config.right, "verifier", config.right_plugin.plugin)

    def judge(row: dict) -> bool | None:
        objection = rule(OneRow(row)).verdict(0)
        return None if objection and objection.evidence == UNVERIFIABLE else objection is None

    return judge


def _chosen_engine(config: SynthesisConfig, out: Output) -> str:
    """The engine of this corpus, noted in scratch: a step that goes on after a crash must not change it half-way."""
    settings, note = config.synthesis, out.scratch / "engine.txt"
    if not note.is_file():
        tokens = settings.target * (settings.prompt.max_new_tokens + settings.response.max_new_tokens)
        name = "vllm" if settings.engine == "auto" and warm.holds_vllm() else choose_engine(settings.engine, tokens)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(name, encoding="utf-8")
    return note.read_text(encoding="utf-8")


class _EnginePair:
    """The engine that writes prompts and the one that answers, which is the same where the teacher does both. `control` is
    the folder of the control where that one answers."""

    def __init__(self, config: SynthesisConfig, out: Output, name: str, control: Path | None, context: int):
        self.config, self.out, self.name, self.control, self.context = config, out, name, control, context
        self.engines: list[Engine] = []
        self.other: tuple[Engine, Turns] | None = None

    def open_writer(self, teacher: Path, turns: Turns) -> Engine:
        self.writer, self.turns = self._open(teacher, turns), turns
        return self.writer

    def answerer(self) -> tuple[Engine, Turns]:
        if self.config.synthesis.answerer == TEACHER:
            return self.writer, self.turns
        if self.other is None:
            folder = self.control or self._answerer_folder()
            turns = Turns(load_tokenizer(folder), self.config.synthesis.answerer)
            self.other = self._open(folder, turns), turns
        return self.other

    def _answerer_folder(self) -> Path:
        template, folder = self.config.answerer_chat_template, self.out.scratch / "answerer"
        if not (folder / "config.json").is_file():
            build_base_model(
                self.config.answerer.address, folder, chat_template=template.address if template else None,
                dtype=self.config.answerer_dtype, corpus=[], seed=0,
            )  # fmt: skip
        return folder

    def _open(self, folder: Path, turns: Turns) -> Engine:
        settings = self.config.synthesis
        written = settings.prompt.max_new_tokens + settings.response.max_new_tokens
        longest = max(written + len(turns.header) + len(turns.middle), self.context + settings.prompt.max_new_tokens)
        engine = warm.open_engine(
            self.name, folder, batch_size=settings.batch_size, pad_id=turns.pad,
            max_length=longest + 2,
            memory_share=1.0 if settings.answerer == TEACHER else 0.5,
            precision=agreed_precision(settings.precision, DECODED_ROWS, self.out.agreed),
            plugin=self.config.engine.plugin if self.config.engine else None,
        )  # fmt: skip
        self.engines.append(engine)
        return engine

    def close(self, whole: bool) -> None:
        for engine in self.engines:
            warm.release(engine, whole)


@synthetic_corpus.check(severity="WARN")
def teacher_ends_its_prompts(stored: Stored) -> Finding:
    """The share of attempts whose prompt the teacher ended by itself is at least checks.min_prompt_completion."""
    attempts = stored.table(SyntheticCorpus).unique("attempt", keep="first")
    floor = stored.grid.profile.checks.min_prompt_completion
    rate = attempts.filter(pl.col("prompt_end") == "completed").height / max(attempts.height, 1)
    text = f"{rate:.1%} of {attempts.height} prompts were ended; the floor is {floor:.1%}"
    return Finding(rate >= floor, text, {"prompt_completion_rate": rate})
