"""A whole profile: its sections, and what they have to agree on."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator

from nomad_assets import plugins
from nomad_assets.errors import shown
from nomad_assets.names import NAME, Location, safe_names
from nomad_assets.profile.fields import Section, Whole, given, merged
from nomad_assets.profile.grid_settings import SHUFFLED, Controls, GridSettings
from nomad_assets.profile.headroom_settings import Headroom
from nomad_assets.profile.sections import (
    Automation,
    BaseModelSource,
    Benchmark,
    Checks,
    Curation,
    Evaluation,
    Mix,
    Reporting,
    Seeds,
    StudentTraining,
    Synthesis,
    Training,
)
from nomad_assets.shipped import SHIPPED, shipped_path


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
