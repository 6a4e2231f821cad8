"""The Dagster instance that the UI reads, and runs of ours whose process is gone."""

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
from filelock import FileLock

from nomad_assets.dagster_home import dagster_home, write_settings
from nomad_assets.errors import NomadError

# Tags of our runs: where and by which process they are executed.
HOST, PROCESS = "nomad/host", "nomad/process"
OPEN_STATES = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
LOOK_EVERY_SECONDS = 10.0
OPENING = ".opening.lock"


def enter_home() -> Path:
    """Dagster's home, which DAGSTER_HOME names from then on; this folder's own is made where it has none.

    Raises NomadError when DAGSTER_HOME names a folder that is not there.
    """
    home, ours = dagster_home(), not os.environ.get("DAGSTER_HOME")
    if ours:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["DAGSTER_HOME"] = str(home)
    if not home.is_dir():
        raise NomadError(f"DAGSTER_HOME = {home}: no such folder; create it with a dagster.yaml in it")
    with FileLock(home / OPENING):
        if ours:
            write_settings(home)
    return home


def instance() -> dg.DagsterInstance:
    """The instance that the UI reads. Raises NomadError as `enter_home` does."""
    # Two processes that open a new home at once would both create its tables, and one would die of it.
    with FileLock(enter_home() / OPENING):
        return dg.DagsterInstance.get()


def tags_of_this_process() -> dict[str, str]:
    return {HOST: platform.node(), PROCESS: _process(os.getpid())}


@contextlib.contextmanager
def looking(look: Callable[[], bool], every_seconds: float) -> Iterator[None]:
    """Call `look` now and then in a thread of its own while the block runs, until it has nothing more to see (True)."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(every_seconds):
            with contextlib.suppress(Exception):  # a database that was busy; the next look is seconds away
                if look():
                    return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def without_dead_runs(dagster: dg.DagsterInstance) -> Iterator[None]:
    """Close dead runs now and every few seconds: a process that dies may hold the slot that this one waits for."""
    close_dead_runs(dagster)

    def look() -> bool:
        close_dead_runs(dagster)
        return False

    with looking(look, LOOK_EVERY_SECONDS):
        yield


def cancel_own_runs() -> None:
    """Mark what this process is running as canceled, and free its pool slots."""
    with instance() as dagster:
        for run in dagster.get_runs(dg.RunsFilter(statuses=OPEN_STATES, tags=tags_of_this_process())):
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
