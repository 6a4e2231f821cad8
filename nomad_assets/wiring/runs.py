"""The grid as Dagster runs, one per stage and place, in this process. Dagster is loaded when there is something to do."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.engine.listeners import Listener, refuse_broken
from nomad_assets.engine.plan import is_current
from nomad_assets.errors import NomadError
from nomad_assets.first_steps.planning import planned
from nomad_assets.looks import Looking
from nomad_assets.opening import open_grid
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe import warm
from nomad_assets.status import problems, status
from nomad_assets.wiring.orders import Expected, Job, Order, cause_of, damaged_places, expected, jobs_for

if TYPE_CHECKING:
    from nomad_assets.wiring.execution import Execution, Outcome

DAY_SECONDS = 86_400
REPAIR = "nomad-assets run --repair makes it again"


def forecast(profile: Profile | str | None, order: Order) -> list[Expected]:
    """What a run would make at most, why, and what each step takes. Raises NomadError as `run_grid` does."""
    return GridRun(profile, order).expected()


def run_grid(
    profile: Profile | str | None,
    order: Order,
    say: Callable[[str], None],
    listeners: Sequence[Listener] = (),
    expect: Callable[[list[Expected]], None] = lambda steps: None,
) -> list[str]:
    """Run what is not up to date; the failures, each as `asset [cell]: message`.

    A failure ends its own cell; the other cells go on, and what needs the failed one is skipped. `expect` is told at the
    start, and again after each job, what is still to be made.
    Raises NomadError on an unknown profile, cell or asset, and on files that are missing.
    """
    started = time.monotonic()
    failures = GridRun(profile, order).run(say, listeners, expect)
    say(f"{len(failures)} failures, {time.monotonic() - started:.0f} s in all")
    return failures


class GridRun:
    """One order of one grid, with what is known before anything is made."""

    def __init__(self, profile: Profile | str | None, order: Order):
        self.grid, self.store = open_grid(profile)
        self.profile, self.order = self.grid.profile, order
        self.named = profile if isinstance(profile, str) else None
        self.jobs = jobs_for(self.grid, order)
        wanted = {place for job in self.jobs for place in job.places}
        found = problems(self.grid, self.store)
        if found.missing:
            raise NomadError("\n".join(f"{key}: {text}" for key, text in found.missing.items()))
        self.damaged = damaged_places(self.grid, self.store, self.jobs) if order.repair else set()
        states = status(self.grid, self.store, {name for name, _ in wanted})
        self.states = {(state.step.name, state.cell): state for state in states}
        self.impossible = {place: text for place, text in found.places.items() if place in wanted}
        for place, state in self.states.items():
            if place in wanted and state.state == "unreadable" and not self._forced(*place):
                self.impossible[place] = f"{'; '.join(state.reasons)}; {REPAIR}"
        self._executed = False

    def expected(self) -> list[Expected]:
        skipped = set(self.impossible)
        for job in self.jobs:
            if cause_of(self.grid, job, skipped):
                skipped |= set(job.places)
        ahead = expected(self.jobs, self.order, list(self.states.values()), self.damaged)
        return [step for step in ahead if (step.step.name, step.cell) not in skipped]

    def doubts(self) -> str | None:
        """Why the grid cannot answer its question however it comes out."""
        return planned(self.grid, self.store).doubts(self.named)

    def run(
        self, say: Callable[[str], None], listeners: Sequence[Listener], expect: Callable[[list[Expected]], None]
    ) -> list[str]:
        failures = [f"{place_name(*place)}: {text}" for place, text in self.impossible.items()]
        for failure in failures:
            say(f"cannot be made: {failure}")
        failed, ahead, looking = set(self.impossible), self.expected(), Looking(self.grid, self.store)
        if any(step.step.heavy for step in ahead) and (doubts := self.doubts()):
            say(f"note: {doubts}")
        expect(ahead)
        with contextlib.ExitStack() as stack:
            execution = functools.cache(lambda: stack.enter_context(self._execution(say, listeners)))
            for number, job in enumerate(self.jobs, 1):
                # Cells that were asked for by name are made however settled the answer is.
                if not self.order.cells and (ended := looking.ended_before(job.place)):
                    say(f"{job.label}: not needed, settled {ended.words()}")
                elif cause := cause_of(self.grid, job, failed):
                    say(f"{job.label}: skipped, since {cause} failed")
                    failed |= set(job.places)
                elif not self._has_work(job, execution):
                    say(f"{job.label}: nothing changed")
                else:
                    outcome = self._execute(job, execution(), say, number)
                    failures += outcome.failures
                    failed |= {(name, job.place) for name in outcome.failed_steps}
                ahead = [step for step in ahead if (step.step.name, step.cell) not in job.places]
                expect(ahead)
        return failures

    @contextlib.contextmanager
    def _execution(self, say: Callable[[str], None], listeners: Sequence[Listener]) -> Iterator["Execution"]:
        from nomad_assets.definitions import work_of
        from nomad_assets.wiring.execution import Execution

        warm.keep_engines()
        try:
            work = work_of(self.profile, store=self.store, listeners=listeners)
            refuse_broken(work.listeners)
            with Execution.opened(work, say) as execution:
                yield execution
        finally:
            warm.close()

    def _execute(self, job: Job, execution: "Execution", say: Callable[[str], None], number: int) -> "Outcome":
        clock, self._executed = time.monotonic(), True
        outcome = execution.run(job, {name for name, cell in job.places if self._forced(name, cell)})
        for warning in outcome.warnings:
            say(f"warning: {warning}")
        how = "failed" if outcome.failures else "done"
        say(f"{job.label}: {how} in {time.monotonic() - clock:.0f} s ({number} of {len(self.jobs)})")
        return outcome

    def _forced(self, asset: str, cell: Cell) -> bool:
        return self.order.forces(asset) or (asset, cell) in self.damaged

    def _has_work(self, job: Job, execution: Callable[[], "Execution"]) -> bool:
        if any(self._forced(*place) for place in job.places) or not self._is_current(job):
            return True
        return self._looks_old(job, execution)

    def _is_current(self, job: Job) -> bool:
        if not self._executed and all(self.states[place].state == "current" for place in job.places):
            return True
        # Not current either where a parent is missing or cannot be read; the run says so.
        return all(is_current(step, job.place, self.grid, self.store) for step in job.steps)

    def _looks_old(self, job: Job, execution: Callable[[], "Execution"]) -> bool:
        """Whether the UI shows the report as out of date, although nothing changed: it is looked at again then."""
        if job.stage != "report":
            return False
        last, days = job.steps[-1], self.profile.automation.fresh_days
        oldest = time.time() - DAY_SECONDS * days
        if self.store.require(last.name, job.place).manifest.ended >= oldest:
            return False  # Dagster heard of it then, or later
        made_at = execution().made_at(last.name)
        return made_at is not None and made_at < oldest
