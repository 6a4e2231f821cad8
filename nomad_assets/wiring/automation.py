"""What Dagster does by itself, once it is switched on in the UI: nothing here runs before.

follow_changes      sensor: makes what is missing, and again what lies behind an artifact that was made again
seed_files_changed  sensor: runs the job `inputs` when a local seed or benchmark file changes
checks_daily        schedule: runs the job `checks`
"""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.profile.profile import Profile
from nomad_assets.store.digests import digest
from nomad_assets.wiring.work import Work

LOOK_EVERY_SECONDS = 30
FIRST = "student_scores"  # what the report waits for


def condition(step: Step, work: Work) -> dg.AutomationCondition:
    """When the sensor `follow_changes` makes a partition: it is missing, or what it reads was made again.

    Unlike Dagster's `eager` it makes what was missing before it was switched on, too; what failed is left to people. A
    step that finds its inputs unchanged reuses what there is, so a change runs only as far as it reaches. A new pool
    triggers a curated corpus only through its teacher, so it is rebuilt once. The report covers the cells that exist, once
    there is one, and does not wait for the others.
    """
    on, names = dg.AutomationCondition, work.names
    missing = on.missing() & ~on.execution_failed() & ~on.newly_requested()
    indirect = sorted(work.grid.graph.indirect(step.name))
    changed = on.any_deps_updated().ignore(names.selection(*indirect)).since_last_handled()
    ready = ~on.any_deps_in_progress() & ~on.in_progress()
    if any(read.optional for read in step.inputs.values()):
        ready &= on.any_deps_match(~on.missing()).allow(names.selection(FIRST))
    else:
        ready &= ~on.any_deps_missing()
    return ((missing | changed) & ready).with_label("missing_or_changed")


def freshness(profile: Profile) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=profile.automation.fresh_days))


def watched_files(profile: Profile) -> dict[str, list]:
    """Local files behind the seeds and benchmarks: path -> size in bytes and time in nanoseconds. Reads no content."""
    sources = [*profile.seeds.sources, *(b.source for b in profile.benchmarks.values() if b.source is not None)]
    found = {}
    for source in sources:
        path = Path(profile.resolve(source.path))
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                facts = file.stat()
                found[str(file)] = [facts.st_size, facts.st_mtime_ns]
    return found


def automations(work: Work) -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """(sensors, schedules), all of them off until somebody switches them on."""
    names, profile = work.names, work.grid.profile
    follow = dg.AutomationConditionSensorDefinition(
        names.of_grid("follow_changes"), target=names.selection(*work.grid.graph), minimum_interval_seconds=LOOK_EVERY_SECONDS,
        description="Makes what is missing, and again what lies behind an artifact that was made again.", run_tags=work.tags,
    )  # fmt: skip

    @dg.sensor(
        name=names.of_grid("seed_files_changed"), job_name=names.of_grid("inputs"), minimum_interval_seconds=LOOK_EVERY_SECONDS,
        description="Runs `inputs` when a local seed or benchmark file is added, changed or removed.",
    )  # fmt: skip
    def seed_files_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        files = watched_files(profile)
        now = digest(files)
        if context.cursor is None:
            return dg.SensorResult(skip_reason=f"watching {len(files)} files from now on", cursor=now)
        if now == context.cursor:
            return dg.SkipReason(f"{len(files)} files, none changed")
        # Without a run key: the same content may come back, and asks again.
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=now)

    try:
        daily = dg.ScheduleDefinition(
            name=names.of_grid("checks_daily"), job_name=names.of_grid("checks"), cron_schedule=profile.automation.checks_at,
            description="Every check on what is stored.",
        )  # fmt: skip
    except dg.DagsterInvalidDefinitionError as error:
        setting = f"profile {profile.name}: automation.checks_at = {profile.automation.checks_at!r}"
        raise NomadError(f'{setting}: not a cron expression; give five fields, such as "0 6 * * *"') from error
    return [follow, seed_files_changed], [daily]
