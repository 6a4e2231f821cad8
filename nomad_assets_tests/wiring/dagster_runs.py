"""Single assets of a grid as runs of its jobs, in this process."""

import dagster as dg

from nomad_assets.definitions import definitions_of
from nomad_assets.wiring.names import Names
from nomad_assets.wiring.work import Work

OWN = Names.of("own", None)
"""What the profile of `write_profile` is called."""


def launch(
    work: Work,
    instance: dg.DagsterInstance,
    job: str,
    *assets: str,
    key: str | None = None,
    settings: dict | None = None,
) -> dg.ExecuteInProcessResult:
    """Run these assets of a job, with other settings where some are given."""
    keys = {name: work.names.key(name) for name in assets}
    ops = {key.to_python_identifier(): {"config": {"settings": settings}} for key in keys.values()} if settings else {}
    return definitions_of(work).resolve_job_def(work.names.of_grid(job)).execute_in_process(
        instance=instance, partition_key=key, asset_selection=list(keys.values()) or None, raise_on_error=False,
        run_config={"ops": ops},
    )  # fmt: skip


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the one step that failed says."""
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def metadata(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dict:
    (event,) = result.asset_materializations_for_node(asset.to_python_identifier())
    return event.metadata
