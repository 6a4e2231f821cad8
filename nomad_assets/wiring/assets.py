"""Every step as a Dagster asset."""

from collections.abc import Callable
from typing import Any

import dagster as dg
from pydantic import Field

from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.listeners import Run
from nomad_assets.engine.runner import Made, Reused, run
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import changed
from nomad_assets.wiring.automation import condition, freshness
from nomad_assets.wiring.jobs import job_of
from nomad_assets.wiring.listener import DagsterListener
from nomad_assets.wiring.metadata import artifact_metadata, column_metadata, shown_before, shown_metadata
from nomad_assets.wiring.upstream import hand_over, takes_seeds
from nomad_assets.wiring.work import Work


class StepConfig(dg.Config):
    """What can be set for one run in the launchpad."""

    force: bool = Field(False, description="Make the artifact again although nothing that it depends on has changed.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the profile that are other ones for this run: {teacher.learning_rate: 0.0002}. The "
        "artifact records them; the next run of the unchanged profile makes it again.",
    )


def assets(work: Work) -> list[dg.AssetsDefinition]:
    return [_asset(work, step) for step in work.grid.graph.values()]


def _asset(work: Work, step: Step) -> dg.AssetsDefinition:
    profile, names = work.grid.profile, work.names
    last = list(work.grid.graph)[-1]
    with_table = takes_seeds(work, step)

    def run_step(context: dg.AssetExecutionContext, config: StepConfig) -> dg.MaterializeResult:
        return _run(work, step, context, config)

    def run_with_table(context: dg.AssetExecutionContext, config: StepConfig, seed_table: Any) -> dg.MaterializeResult:
        return _run(work, step, context, config, lambda: hand_over(work, seed_table))

    return dg.asset(
        key=names.key(step.name),
        deps=[
            work.partitions.dependency(names.key(parent), work.grid.graph[parent].over, step.over)
            for parent in step.inputs
        ],
        ins={"seed_table": dg.AssetIn(key=dg.AssetKey.from_user_string(work.seeds_from))} if with_table else None,
        partitions_def=work.partitions.definition(step.over),
        group_name=names.of_grid(step.group),
        kinds=set(step.kinds),
        code_version=step.version,
        pool="accelerator" if step.heavy else None,
        description=step.description,
        owners=profile.owners,
        tags={**work.tags, "nomad/needs": "accelerator" if step.heavy else "cpu"},
        automation_condition=None if step.asked else condition(step, work),
        freshness_policy=freshness(profile) if step.name == last else None,
    )(run_with_table if with_table else run_step)


def _run(
    work: Work,
    step: Step,
    context: dg.AssetExecutionContext,
    config: StepConfig,
    prepare: Callable[[], None] = lambda: None,
) -> dg.MaterializeResult:
    told = DagsterListener(context)
    try:
        prepare()
        cell = work.partitions.cell_of(context)
        grid = _changed(work, step, cell, config.settings)
        within = Run(context.run.run_id, context.run.job_name, context.retry_number)
        found = run(step, cell, grid, work.store, [told, *work.listeners], within, config.force)
    except NotMadeError as error:
        raise _failure(f"{error}: launch the job {job_of(work, error.asset)}", error) from error
    except NomadError as error:
        raise _failure(str(error), error) from error
    return _result(work, step, context, found, told.reasons)


def _changed(work: Work, step: Step, cell, settings: dict[str, object]) -> Grid:
    """The grid as this run wants it. Raises NomadError when what it changes is not read by the step."""
    grid = work.grid
    for key, value in settings.items():
        found = Grid(changed(grid.profile, {key: value}, "settings"), grid.graph)
        before, after = (step.config.of(g, cell, {}) for g in (grid, found))
        if found.profile != grid.profile and before == after:
            raise NomadError(f"settings: {key!r} is not read by {step.name}; set it at the asset that reads it")
        grid = found
    return grid


def _result(
    work: Work, step: Step, context: dg.AssetExecutionContext, found: Made | Reused, reasons: list[Change]
) -> dg.MaterializeResult:
    record = found.artifact.manifest
    reused = isinstance(found, Reused)
    shown = shown_before(context, record.artifact_id) if reused else shown_metadata(found.shown)
    why = {"made_because": "; ".join(map(str, reasons))} if reasons else {}
    return dg.MaterializeResult(
        metadata={
            "reused": reused,
            **why,
            **shown,
            **artifact_metadata(found.artifact, work.grid.profile.price_per_hour),
            **column_metadata(step, work.grid.graph, work.names),
        },
        data_version=dg.DataVersion(record.content_digest[:16]),
    )


def _failure(message: str, error: NomadError) -> dg.Failure:
    metadata: dict[str, dg.MetadataValue] = {}
    if error.counts:
        metadata["failures_per_rule"] = dg.MetadataValue.json(error.counts)
    if error.cases:
        records = [dg.TableRecord({key: str(value) for key, value in case.items()}) for case in error.cases]
        metadata["failing_rows"] = dg.MetadataValue.table(records)
    return dg.Failure(message, metadata=metadata, allow_retries=False)
