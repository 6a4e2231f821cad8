"""The grid as Dagster runs, one per cell, in this process."""

import contextlib
import fcntl
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.checks import LINEAGE
from nomad_assets.dagster_home import dagster_home, write_settings
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.jobs import JOB_ASSETS
from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.progress import Progress
from nomad_assets.steps import STEPS, ancestors, is_current

# Tags of our runs: where and by which process they are executed.
HOST, PROCESS = "nomad/host", "nomad/process"
OPEN_STATES = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
LOOK_EVERY_SECONDS = 10.0


def run_grid(
    profile: str | None,
    cells: list[str],
    until: str | None,
    force: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> list[str]:
    """Run what is not up to date; the failures, each as `asset [cell]: message`.

    A failure ends its own cell; the other cells go on, except after a failure in what all of them read.
    Raises NomadError on an unknown profile, cell or asset.
    """
    project = Project(load_profile(profile), listener=progress, keep_engines=True)
    wanted = [project.grid.parse(text) for text in cells] or project.grid.cells
    assets = needed(until)
    definitions = build_definitions(project)
    failures: list[str] = []
    started = time.monotonic()
    with instance() as dagster, _without_dead_runs(dagster), contextlib.closing(project.kept):
        for job, names in JOB_ASSETS.items():
            chosen = [name for name in names if name in assets]
            places = [place for place in project.grid.members(STEPS[names[0]].partitions) if _touches(place, wanted)]
            for place in places if chosen else []:
                label = job if place == Cell() else f"{job} {place.label}"
                if (
                    not force
                    and not _looks_old(dagster, chosen, project)
                    and all(
                        is_current(STEPS[name], place, project.profile, project.grid, project.store)
                        for name in chosen
                        if name in STEPS
                    )
                ):
                    say(f"{label}: nothing changed")
                    continue
                clock = time.monotonic()
                failed, warnings = _run(definitions, dagster, job, chosen, place, force)
                for warning in warnings:
                    say(f"warning: {warning}")
                say(f"{label}: {'failed' if failed else 'done'} in {time.monotonic() - clock:.0f} s")
                failures += failed
            if failures and job == "inputs":
                break
    say(f"{len(failures)} failures, {time.monotonic() - started:.0f} s in all")
    return failures


def _looks_old(dagster: dg.DagsterInstance, chosen: list[str], project: Project) -> bool:
    """Whether the UI shows the report as out of date, although nothing changed: it is looked at again then."""
    if "recipe_report" not in chosen:
        return False
    event = dagster.get_latest_materialization_event(dg.AssetKey("recipe_report"))
    return event is not None and time.time() - event.timestamp > 86_400 * project.profile.automation.fresh_days


@contextlib.contextmanager
def _without_dead_runs(dagster: dg.DagsterInstance) -> Iterator[None]:
    """Close dead runs now and every few seconds: a process that dies may hold the slot that this one waits for."""
    close_dead_runs(dagster)
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY_SECONDS):
            with contextlib.suppress(Exception):  # a database that was busy; the next look is seconds away
                close_dead_runs(dagster)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def cancel_own_runs() -> None:
    """Mark what this process is running as canceled, and free its pool slots."""
    ours = {HOST: platform.node(), PROCESS: _process(os.getpid())}
    with instance() as dagster:
        for run in dagster.get_runs(dg.RunsFilter(statuses=OPEN_STATES, tags=ours)):
            dagster.report_run_canceled(run, "its user stopped it")
            dagster.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def close_dead_runs(dagster: dg.DagsterInstance) -> None:
    """Mark runs of ours whose process is gone as failed, and free the pool slots that they still hold.

    Nothing else does: a killed process cannot, and Dagster's monitor watches only runs that its daemon launched.
    """
    for run in dagster.get_runs(dg.RunsFilter(statuses=OPEN_STATES, tags={HOST: platform.node()})):
        recorded = run.tags.get(PROCESS, "")
        pid = recorded.partition("@")[0]
        if pid.isdecimal() and _process(int(pid)) == recorded:
            continue
        # Read again now that its process is known to be gone: it may have finished the run in the meantime.
        last = dagster.get_run_by_id(run.run_id)
        if last is not None and last.status in OPEN_STATES:
            dagster.report_run_failed(last, "the process that ran it is gone")
            dagster.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _process(pid: int) -> str:
    """A process by its id and its start, since ids are used again; empty when there is none, or only its corpse.

    On Linux the start is in clock ticks since a boot, by that boot's id. psutil's is a date, which moves when the
    clock is set, so that a live process would be taken for another one.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.is_file():
        import psutil

        try:
            return f"{pid}@{psutil.Process(pid).create_time():.2f}"
        except psutil.NoSuchProcess:
            return ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rpartition(b")")[2].split()  # behind the name, which may hold anything
    state, ticks = fields[0], int(fields[19])  # fields 3 and 22 of proc(5)
    return "" if state in (b"Z", b"X") else f"{pid}@{ticks} {boot.read_text().strip()}"


def needed(until: str | None) -> set[str]:
    """All assets, or `until` and everything before it. Raises NomadError on an unknown name."""
    if until is None:
        return {*STEPS, LINEAGE}
    if until not in STEPS:
        raise NomadError(f"--until {until!r}: unknown asset; known: {', '.join(STEPS)}")
    return {until} | ancestors(until)


def instance() -> dg.DagsterInstance:
    """The instance that the UI reads, in the home that `dagster_home` names; this folder's own is made where it has none."""
    home, ours = dagster_home(), not os.environ.get("DAGSTER_HOME")
    if ours:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["DAGSTER_HOME"] = str(home)
    if not home.is_dir():
        raise NomadError(f"DAGSTER_HOME = {home}: no such folder; create it with a dagster.yaml in it")
    # Two processes that open a new home at once would both create its tables, and one would die of it.
    folder = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if ours:
            write_settings(home)
        return dg.DagsterInstance.get()
    finally:
        os.close(folder)


def _touches(place: Cell, wanted: list[Cell]) -> bool:
    return place.train_size is None or any(place in (cell, Cell(cell.train_size)) for cell in wanted)


def _run(
    definitions: dg.Definitions, dagster: dg.DagsterInstance, job: str, chosen: list[str], place: Cell, force: bool
) -> tuple[list[str], list[str]]:
    """(failures, warnings); a failed check of severity ERROR is a failure."""
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if force:
        config["ops"] = {name: {"config": {"force": True}} for name in chosen if name in STEPS}
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=dagster,
        partition_key=place.partition_key,
        asset_selection=[dg.AssetKey(name) for name in chosen],
        run_config=config,
        tags={HOST: platform.node(), PROCESS: _process(os.getpid())},
        raise_on_error=False,
    )
    failures = [_message(event, place) for event in result.all_node_events if event.is_step_failure]
    warnings = []
    for found in result.get_asset_check_evaluations():
        if not found.passed:
            text = f"{found.asset_key.to_user_string()} [{place.label}] {found.check_name}: {found.description}"
            (failures if found.severity == dg.AssetCheckSeverity.ERROR else warnings).append(text)
    return failures, warnings


def _message(event: dg.DagsterEvent, place: Cell) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None:
        return data.user_failure_data.description
    cause = data.error.cause or data.error
    return f"{event.step_key} [{place.label}]: {cause.message.strip()}"
