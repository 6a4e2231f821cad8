"""Running a grid in this process, through the engine alone."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import check_place
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.listeners import Attempt, Listener, Run, refuse_broken
from nomad_assets.engine.output import Shown
from nomad_assets.engine.runner import Made, run
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.looks import Looking, turn
from nomad_assets.recipe import warm
from nomad_assets.status import problems
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.listeners import listeners_of
from nomad_assets.wiring.stages import LAST, stages_of

JOB = "python"
SAY_EVERY_SECONDS = 10.0
MADE = {"asset": str, "cell": str, "seconds": float, "rows": int, "artifact_id": str}

Place = tuple[str, Cell]


def run_places(
    grid: Grid,
    store: Store,
    cells: Sequence[str],
    until: str | None,
    force: bool | Sequence[str],
    say: Callable[[str], None],
    listeners: Sequence[Listener],
) -> pl.DataFrame:
    """See OpenGrid.run."""
    places = _wanted(grid, cells, until)
    forced = set(grid.graph) if force is True else set(force or ())
    if unknown := forced - set(grid.graph):
        raise NomadError(f"force: unknown asset {', '.join(sorted(unknown))}; known: {', '.join(grid.graph)}")
    found = problems(grid, store)
    if found.missing:
        raise NomadError("\n".join(f"{key}: {text}" for key, text in found.missing.items()))
    wanted = {(step.name, cell) for step, cell in places}
    known = {place: text for place, text in found.places.items() if place in wanted}
    told = [Printer(say), *listeners, *listeners_of(grid.profile, grid.graph, store)]
    refuse_broken(told)
    going = _Going(grid, store, told, Run(str(uuid.uuid4()), JOB), forced, say)
    for place, text in known.items():
        going.fail(place, f"{place[0]} [{place[1].label}]: {text}")
    looking = Looking(grid, store)
    warm.keep_engines()
    try:
        for step, cell in places:
            if not cells and (ended := looking.ended_before(cell)):
                say(f"{step.name} [{cell.label}]: not needed, settled {ended.words()}")
                continue
            going.make(step, cell)
    finally:
        warm.close()
    if going.failures:
        text = "\n".join(going.failures)
        raise NomadError(f"{len(going.failures)} of {len(places)} places could not be made:\n{text}")
    return pl.DataFrame(going.made, schema=MADE, orient="row")


def _wanted(grid: Grid, cells: Sequence[str], until: str | None) -> list[tuple[Step, Cell]]:
    """Places in the order in which they are made, stage by stage."""
    if until is not None and until not in grid.graph:
        raise NomadError(f"until = {until!r}: unknown asset; known: {', '.join(grid.graph)}")
    chosen = [grid.parse(text) for text in cells] or [Cell()]
    names = grid.wanted(until)
    found = [
        (stage, step, place)
        for stage, steps in stages_of(grid).items()
        for place in (grid.members(steps[0].over) if steps else [])
        if any(grid.comes_to(steps[0].over, place, cell) for cell in chosen)
        for step in steps
        if step.name in names
    ]
    found.sort(key=lambda entry: (entry[0] in LAST, turn(grid, entry[2])))
    return [(step, place) for _, step, place in found]


@dataclass
class _Going:
    """A run on its way: what was made, and what failed and is not gone on with."""

    grid: Grid
    store: Store
    listeners: list[Listener]
    within: Run
    forced: set[str]
    say: Callable[[str], None]
    made: list[tuple] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)

    def fail(self, place: Place, text: str) -> None:
        self.broken.add(place)
        self.failures.append(text)
        self.say(f"failed: {text}")

    def make(self, step: Step, cell: Cell) -> None:
        place = step.name, cell
        if place in self.broken or self._skips(step, cell):
            return
        try:
            found = run(step, cell, self.grid, self.store, self.listeners, self.within, step.name in self.forced)
        except NomadError as error:
            self.fail(place, str(error))
            return
        if isinstance(found, Made):
            record = found.artifact.manifest
            self.made.append((step.name, cell.label, record.seconds, record.rows, record.artifact_id))
            self._check(step, cell)

    def _skips(self, step: Step, cell: Cell) -> bool:
        """Whether something that it is made from failed."""
        for parent, place in self.grid.places(step, cell):
            if (parent, place) in self.broken and not step.inputs[parent].optional:
                self.broken.add((step.name, cell))
                self.say(f"{step.name} [{cell.label}]: skipped, since {parent} [{place.label}] failed")
                return True
        return False

    def _check(self, step: Step, cell: Cell) -> None:
        for result in check_place(self.grid, self.store, step, cell):
            text = f"{result.place} {result.check.name}: {result.finding.text}"
            if result.is_error:
                self.fail((step.name, cell), text)
            elif not result.finding.passed:
                self.say(f"warning: {text}")


class Printer(Listener):
    """A line for each start and end, and now and then how far a step is."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.said = say, time.monotonic()

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        why = f" ({'; '.join(map(str, reasons))})" if reasons else ""
        self.say(f"{attempt.place}: {'goes on' if resumes else 'starts'}{why}")
        self.said = time.monotonic()

    def waiting(self, attempt: Attempt, text: str) -> None:
        self.say(text)

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        if time.monotonic() - self.said >= SAY_EVERY_SECONDS:
            self.said = time.monotonic()
            figures = "".join(f", {key.replace('_', ' ')} {value:.4g}" for key, value in facts.items())
            self.say(f"{attempt.place}: {stage} {done:.0f} of {total:.0f}{figures}")

    def warned(self, attempt: Attempt, text: str) -> None:
        self.say(f"warning: {attempt.place}: {text}")

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        self.say(f"{attempt.place}: made in {artifact.manifest.seconds:.1f} s")
