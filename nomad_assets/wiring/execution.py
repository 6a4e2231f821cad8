"""One job as a Dagster run in this process, in the instance that the UI shows."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg

from nomad_assets.cells import Cell
from nomad_assets.definitions import definitions_of
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.wiring.instance import instance, looking, tags_of_this_process, without_dead_runs
from nomad_assets.wiring.jobs import LINEAGE, stages
from nomad_assets.wiring.orders import Job
from nomad_assets.wiring.partitions import partition_key
from nomad_assets.wiring.work import Work

LOOK_EVERY_SECONDS = 3.0


@dataclass(frozen=True)
class Outcome:
    failures: list[str]
    failed_steps: list[str]
    warnings: list[str]


class Execution:
    """Runs jobs of one grid; open it with `opened`. Definitions are built when the first job needs them."""

    def __init__(self, work: Work, dagster: dg.DagsterInstance, say: Callable[[str], None]):
        self.work, self.dagster, self.say = work, dagster, say
        self._definitions: dg.Definitions | None = None

    @classmethod
    @contextlib.contextmanager
    def opened(cls, work: Work, say: Callable[[str], None]) -> Iterator["Execution"]:
        with instance() as dagster, without_dead_runs(dagster):
            yield cls(work, dagster, say)

    def made_at(self, asset: str) -> float | None:
        """When Dagster last heard that an asset was materialised, in Unix seconds."""
        event = self.dagster.get_latest_materialization_event(self.work.names.key(asset))
        return event.timestamp if event is not None else None

    def run(self, job: Job, forced: set[str]) -> Outcome:
        """One Dagster run; a failed check of severity ERROR is a failure."""
        names = self.work.names
        keys = {step.name: names.key(step.name) for step in job.steps}
        if job.stage == "report" and len(job.steps) == len(stages(self.work)["report"]):
            keys[LINEAGE] = names.key(LINEAGE)
        ops = {key.to_python_identifier(): name for name, key in keys.items()}
        config: dict = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if forced:
            config["ops"] = {op: {"config": {"force": True}} for op, name in ops.items() if name in forced}
        self._definitions = self._definitions or definitions_of(self.work)
        with self._waiting_said(ops, job.place):
            result = self._definitions.resolve_job_def(names.of_grid(job.stage)).execute_in_process(
                instance=self.dagster, partition_key=partition_key(job.place), asset_selection=list(keys.values()),
                run_config=config, tags={**self.work.tags, **tags_of_this_process()}, raise_on_error=False,
            )  # fmt: skip
        broken = [event for event in result.all_node_events if event.is_step_failure]
        failures, warnings = [_message(event, ops, job.place) for event in broken], []
        for found in result.get_asset_check_evaluations():
            if not found.passed:
                text = f"{found.asset_key.path[-1]} [{job.place.label}] {found.check_name}: {found.description}"
                (failures if found.severity == dg.AssetCheckSeverity.ERROR else warnings).append(text)
        return Outcome(failures, [ops[event.step_key] for event in broken if event.step_key in ops], warnings)

    @contextlib.contextmanager
    def _waiting_said(self, ops: dict[str, str], place: Cell) -> Iterator[None]:
        """Say once when a step waits for a slot of Dagster's pool, which nobody else does."""
        ours = tags_of_this_process()

        def look() -> bool:
            if waiting := self._what_is_waited_for(ours):
                step, pool, holder = waiting
                name = place_name(ops.get(step, step), place)
                self.say(f"{name}: waiting for the {pool}, which another run holds for {holder}")
            return waiting is not None

        with looking(look, LOOK_EVERY_SECONDS):
            yield

    def _what_is_waited_for(self, ours: dict[str, str]) -> tuple[str, str, str] | None:
        """The step of ours that waits, for which pool, and the step that holds it."""
        started = dg.RunsFilter(tags=ours, statuses=[dg.DagsterRunStatus.STARTED])
        runs = {run.run_id for run in self.dagster.get_runs(started)}
        storage = self.dagster.event_log_storage
        for pool in storage.get_concurrency_keys():
            info = storage.get_concurrency_info(pool)
            others = sorted(slot.step_key for slot in info.claimed_slots if slot.run_id not in runs)
            for step in info.pending_steps:
                if step.run_id in runs and step.assigned_timestamp is None and others:
                    return step.step_key, pool, ", ".join(others)
        return None


def _message(event: dg.DagsterEvent, ops: dict[str, str], place: Cell) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None:
        return data.user_failure_data.description
    cause = data.error.cause or data.error
    return f"{ops.get(event.step_key, event.step_key)} [{place.label}]: {cause.message.strip()}"
