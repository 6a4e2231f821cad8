"""What a run is asked for, and what that comes to: stages in places, and the steps that would be made."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import check_place
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.looks import turn
from nomad_assets.status import PlaceStatus, seconds_before
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.stages import LAST, stages_of

FILES_MATCH = {"stored_files_match_their_manifest"}
Place = tuple[str, Cell]


@dataclass(frozen=True)
class Order:
    """What a run is asked for."""

    cells: list[str] = field(default_factory=list)
    """Only these cells, as 64/unmasked; all without any."""
    until: str | None = None
    """This asset and what it needs."""
    force: bool = False
    """Make everything again that the run comes to."""
    force_assets: list[str] = field(default_factory=list)
    """Make these again, and what depends on them where their content changed."""
    repair: bool = False
    """Make again what is stored but damaged, and what depends on it where its content changed."""

    def forces(self, asset: str) -> bool:
        return self.force or asset in self.force_assets


@dataclass(frozen=True)
class Job:
    """One Dagster run: the steps of a stage that are wanted, in one place."""

    stage: str
    place: Cell
    steps: list[Step]

    @property
    def label(self) -> str:
        return self.stage if self.place == Cell() else f"{self.stage} {self.place.label}"

    @property
    def places(self) -> list[Place]:
        return [(step.name, self.place) for step in self.steps]


@dataclass(frozen=True)
class Expected:
    """A step that a run would make."""

    step: Step
    cell: Cell
    reasons: list[str]
    """Why what there is will not do; none where there is nothing yet."""
    seconds: float | None
    """What it took before, or other cells of its asset at the median; None where no run has told it yet."""

    @property
    def place(self) -> str:
        return place_name(self.step.name, self.cell)


def jobs_for(grid: Grid, order: Order) -> list[Job]:
    """The runs that an order comes to. Raises NomadError on an unknown cell or asset."""
    wanted = [grid.parse(text) for text in order.cells] or [Cell()]
    names = needed(grid, order.until)
    for name in order.force_assets:
        if name not in grid.graph:
            raise NomadError(f"--force-asset {name!r}: unknown asset; known: {', '.join(grid.graph)}")
        if name not in names:
            why = f"--until {order.until} does not come to it" if order.until else f"give --until {name} to ask for it"
            raise NomadError(f"--force-asset {name}: {why}")
    found = []
    for stage, steps in stages_of(grid).items():
        chosen = [step for step in steps if step.name in names]
        for place in grid.members(steps[0].over) if chosen else []:
            if any(grid.comes_to(steps[0].over, place, cell) for cell in wanted):
                found.append(Job(stage, place, chosen))
    # Stages in order, but whole replicates before what only a look at them may ask for; the report after all of them.
    return sorted(found, key=lambda job: (job.stage in LAST, turn(grid, job.place)))


def needed(grid: Grid, until: str | None) -> set[str]:
    """All assets but those that have to be asked for, or `until` and everything before it.

    Raises NomadError on an unknown name.
    """
    if until is not None and until not in grid.graph:
        raise NomadError(f"--until {until!r}: unknown asset; known: {', '.join(grid.graph)}")
    return grid.wanted(until)


def expected(jobs: list[Job], order: Order, states: list[PlaceStatus], damaged: set[Place]) -> list[Expected]:
    """What is made at most: nothing that depends on a step is made when the step comes out as it was."""
    wanted, took = {place for job in jobs for place in job.places}, seconds_before(states)
    found = []
    for state in states:
        place = (state.step.name, state.cell)
        forced = order.forces(state.step.name) or place in damaged
        if place not in wanted or (state.state == "not needed" and not order.cells):
            continue
        if forced or state.state != "current":
            why = _damage(state) if place in damaged else state.reasons or (["forced"] if state.artifact else [])
            found.append(Expected(state.step, state.cell, why, took.get(place)))
    return found


def _damage(state: PlaceStatus) -> list[str]:
    if state.artifact is None:
        return ["its manifest cannot be read"]
    return state.reasons if state.state == "unreadable" else ["its files are not those of its manifest"]


def damaged_places(grid: Grid, store: Store, jobs: list[Job]) -> set[Place]:
    """Stored places whose files are not those of their manifest, or whose manifest cannot be read."""
    found = set()
    for job in jobs:
        for step in job.steps:
            results = check_place(grid, store, step, job.place, FILES_MATCH)
            if any(not result.finding.passed for result in results):
                found.add((step.name, job.place))
    return found


def cause_of(grid: Grid, job: Job, failed: Iterable[Place]) -> str | None:
    """What a job cannot go on without and that failed."""
    inside = {step.name for step in job.steps}
    for step in job.steps:
        if (step.name, job.place) in failed:
            return place_name(step.name, job.place)
        for place in grid.places(step, job.place):
            if place in failed and place[0] not in inside and not step.inputs[place[0]].optional:
                return place_name(*place)
    return None
