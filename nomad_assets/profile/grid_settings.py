"""The section on the grid: its sizes, arms, selections and replicates, and the controls beside them."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from nomad_assets.names import safe_names
from nomad_assets.profile.fields import KIND, MAX_COUNT, Count, Section, Share, given, optional
from nomad_assets.profile.sections import Curation, Mix, Synthesis, Training
from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES


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
