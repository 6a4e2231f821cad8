"""What Dagster does by itself, once it is switched on in the UI: nothing here runs before.

follow_changes      sensor: makes what is missing, and again what lies behind an artifact that was made again
seed_files_changed  sensor: runs the job `inputs` when a local seed or benchmark file is another one
checks_daily        schedule: runs the job `checks`
"""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile
from nomad_assets.steps import Step, ancestors
from nomad_assets.storage import digest

LOOK_EVERY_SECONDS = 30


def condition(step: Step) -> dg.AutomationCondition:
    """When the sensor `follow_changes` makes a partition: it is missing, or what it reads was made again.

    Unlike Dagster's `eager` it makes what was missing before it was switched on, too; what failed is left to people. A
    step that finds its inputs unchanged reuses what there is, so a change runs only as far as it reaches. It comes by
    the longest way alone: a new pool reaches a curated corpus through subset, teacher and corpus, not directly too. The
    report covers the cells that exist, once there is one, and does not wait for the others.
    """
    on = dg.AutomationCondition
    missing = on.missing() & ~on.execution_failed() & ~on.newly_requested()
    early = {parent for parent in step.parents if any(parent in ancestors(other) for other in step.parents)}
    changed = on.any_deps_updated().ignore(dg.AssetSelection.assets(*early)).since_last_handled()
    ready = ~on.any_deps_in_progress() & ~on.in_progress()
    if step.optional_parents:
        ready &= on.any_deps_match(~on.missing()).allow(dg.AssetSelection.assets("student_scores"))
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


def automations(profile: Profile) -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """(sensors, schedules), all of them off until somebody switches them on."""
    follow = dg.AutomationConditionSensorDefinition(
        "follow_changes", target=dg.AssetSelection.all(), minimum_interval_seconds=LOOK_EVERY_SECONDS,
        description="Makes what is missing, and again what lies behind an artifact that was made again.",
    )  # fmt: skip

    @dg.sensor(
        name="seed_files_changed", job_name="inputs", minimum_interval_seconds=LOOK_EVERY_SECONDS,
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
            name="checks_daily", job_name="checks", cron_schedule=profile.automation.checks_at,
            description="Every check on what is stored.",
        )  # fmt: skip
    except dg.DagsterInvalidDefinitionError as error:
        setting = f"profile {profile.name}: automation.checks_at = {profile.automation.checks_at!r}"
        raise NomadError(f'{setting}: not a cron expression; give five fields, such as "0 6 * * *"') from error
    return [follow, seed_files_changed], [daily]
