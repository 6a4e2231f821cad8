"""The grid as Dagster runs, one per stage and place, in this process."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from nomad_assets.cells import Cell
from nomad_assets.definitions import definitions_of, work_of
from nomad_assets.engine.checks import check_place
from nomad_assets.engine.listeners import Listener
from nomad_assets.engine.runner import is_current
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.sections import Profile
from nomad_assets.recipe import warm
from nomad_assets.status import PlaceStatus, problems, seconds_before, status
from nomad_assets.wiring.instance import instance, tags_of_this_process, without_dead_runs
from nomad_assets.wiring.jobs import LINEAGE, stages
from nomad_assets.wiring.partitions import partition_key
from nomad_assets.wiring.work import Work

FILES_MATCH = {"stored_files_match_their_manifest"}


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
    """Make again what is stored but damaged."""

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


def jobs_for(work: Work, order: Order) -> list[Job]:
    """The runs that an order comes to. Raises NomadError on an unknown cell or asset."""
    grid = work.grid
    wanted = [grid.parse(text) for text in order.cells] or grid.cells
    names = needed(grid, order.until)
    for name in order.force_assets:
        if name not in grid.graph:
            raise NomadError(f"--force-asset {name!r}: unknown asset; known: {', '.join(grid.graph)}")
    found = []
    for stage, steps in stages(work).items():
        chosen = [step for step in steps if step.name in names]
        for place in grid.members(steps[0].over) if chosen else []:
            if any(place.covers(cell) for cell in wanted):
                found.append(Job(stage, place, chosen))
    return found


def needed(grid: Grid, until: str | None) -> set[str]:
    """All assets, or `until` and everything before it. Raises NomadError on an unknown name."""
    if until is None:
        return set(grid.graph)
    if until not in grid.graph:
        raise NomadError(f"--until {until!r}: unknown asset; known: {', '.join(grid.graph)}")
    return {until} | grid.graph.ancestors(until)


def forecast(profile: str | None, order: Order) -> list[tuple[PlaceStatus, float | None]]:
    """What a run would make, with the seconds that each place took before or others of its asset did."""
    work = work_of(load_profile(profile))
    jobs = jobs_for(work, order)
    places = {(step.name, job.place) for job in jobs for step in job.steps}
    states = status(work.grid, work.store, {name for name, _ in places})
    made = []
    for found in states:
        if (found.step.name, found.cell) in places and (found.state != "current" or order.forces(found.step.name)):
            made.append((found, seconds_before(work.store, work.grid, found.step, found.cell)))
    return made


def run_grid(
    profile: Profile | str | None, order: Order, say: Callable[[str], None], listeners: Sequence[Listener] = ()
) -> list[str]:
    """Run what is not up to date; the failures, each as `asset [cell]: message`.

    A failure ends its own cell; the other cells go on, and what needs the failed one is skipped.
    Raises NomadError on an unknown profile, cell or asset, on files that are missing, and outside a folder with dagster.yaml.
    """
    loaded = profile if isinstance(profile, Profile) else load_profile(profile)
    work = work_of(loaded, listeners=listeners)
    jobs = jobs_for(work, order)
    failed = _known_failures(work, jobs)
    for (name, cell), text in failed.items():
        say(f"{name} [{cell.label}] cannot be made: {text}")
    failures = [f"{name} [{cell.label}]: {text}" for (name, cell), text in failed.items()]
    damaged = _damaged(work, jobs) if order.repair else set()
    definitions, started = definitions_of(work), time.monotonic()
    warm.keep_engines()
    with instance() as dagster, without_dead_runs(dagster), contextlib.ExitStack() as stack:
        stack.callback(warm.close)
        for number, job in enumerate(jobs, 1):
            if cause := _cause(work, job, failed):
                say(f"{job.label}: skipped, since {cause} failed")
                failed |= {(step.name, job.place): "skipped" for step in job.steps}
                continue
            forced = {step.name for step in job.steps if order.forces(step.name) or (step.name, job.place) in damaged}
            if not forced and _all_current(work, job) and not _looks_old(dagster, work, job):
                say(f"{job.label}: nothing changed")
                continue
            clock = time.monotonic()
            result = _run(definitions, dagster, work, job, forced)
            for warning in result.warnings:
                say(f"warning: {warning}")
            how = "failed" if result.failures else "done"
            say(f"{job.label}: {how} in {time.monotonic() - clock:.0f} s ({number} of {len(jobs)})")
            failures += result.failures
            failed |= {(name, job.place): "failed" for name in result.failed_steps}
    say(f"{len(failures)} failures, {time.monotonic() - started:.0f} s in all")
    return failures


def _known_failures(work: Work, jobs: list[Job]) -> dict[tuple[str, Cell], str]:
    """Places that cannot be made, known before anything is. Raises NomadError on files that are not there."""
    found = problems(work.grid, work.store)
    if found.missing:
        raise NomadError("\n".join(f"{key}: {text}" for key, text in found.missing.items()))
    wanted = {(step.name, job.place) for job in jobs for step in job.steps}
    return {place: text for place, text in found.places.items() if place in wanted}


def _cause(work: Work, job: Job, failed: dict[tuple[str, Cell], str]) -> str | None:
    """What a job cannot go on without and that failed."""
    inside = {step.name for step in job.steps}
    for step in job.steps:
        if (step.name, job.place) in failed:
            return f"{step.name} [{job.place.label}]"
        for place in work.grid.places(step, job.place):
            if place in failed and place[0] not in inside and not step.inputs[place[0]].optional:
                return f"{place[0]} [{place[1].label}]"
    return None


def _all_current(work: Work, job: Job) -> bool:
    try:
        return all(is_current(step, job.place, work.grid, work.store) for step in job.steps)
    except NomadError:
        return False  # a parent is missing or cannot be read; the run says so


def _damaged(work: Work, jobs: list[Job]) -> set[tuple[str, Cell]]:
    """Stored places whose files are not those of their manifest, or whose manifest cannot be read."""
    found = set()
    for job in jobs:
        for step in job.steps:
            results = check_place(work.grid, work.store, step, job.place, FILES_MATCH)
            if any(not result.finding.passed for result in results):
                found.add((step.name, job.place))
    return found


def _looks_old(dagster: dg.DagsterInstance, work: Work, job: Job) -> bool:
    """Whether the UI shows the report as out of date, although nothing changed: it is looked at again then."""
    if job.stage != "report":
        return False
    event = dagster.get_latest_materialization_event(work.names.key(job.steps[-1].name))
    return event is not None and time.time() - event.timestamp > 86_400 * work.grid.profile.automation.fresh_days


@dataclass(frozen=True)
class _Result:
    failures: list[str]
    failed_steps: list[str]
    warnings: list[str]


def _run(definitions: dg.Definitions, dagster: dg.DagsterInstance, work: Work, job: Job, forced: set[str]) -> _Result:
    """One Dagster run; a failed check of severity ERROR is a failure."""
    keys = {step.name: work.names.key(step.name) for step in job.steps}
    if job.stage == "report" and len(job.steps) == len(stages(work)["report"]):
        keys[LINEAGE] = work.names.key(LINEAGE)
    ops = {key.to_python_identifier(): name for name, key in keys.items()}
    config: dict = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if forced:
        config["ops"] = {op: {"config": {"force": True}} for op, name in ops.items() if name in forced}
    result = definitions.resolve_job_def(work.names.of_grid(job.stage)).execute_in_process(
        instance=dagster, partition_key=partition_key(job.place), asset_selection=list(keys.values()), run_config=config,
        tags={**work.tags, **tags_of_this_process()}, raise_on_error=False,
    )  # fmt: skip
    broken = [event for event in result.all_node_events if event.is_step_failure]
    failures, warnings = [_message(event, ops, job.place) for event in broken], []
    for found in result.get_asset_check_evaluations():
        if not found.passed:
            text = f"{found.asset_key.path[-1]} [{job.place.label}] {found.check_name}: {found.description}"
            (failures if found.severity == dg.AssetCheckSeverity.ERROR else warnings).append(text)
    return _Result(failures, [ops[event.step_key] for event in broken if event.step_key in ops], warnings)


def _message(event: dg.DagsterEvent, ops: dict[str, str], place: Cell) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None:
        return data.user_failure_data.description
    cause = data.error.cause or data.error
    return f"{ops.get(event.step_key, event.step_key)} [{place.label}]: {cause.message.strip()}"
