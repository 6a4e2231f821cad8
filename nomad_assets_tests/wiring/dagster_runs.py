"""Single assets of a grid as runs of its jobs, in this process."""

import functools

import dagster as dg

from nomad_assets.definitions import definitions_of
from nomad_assets.wiring.names import Names
from nomad_assets.wiring.work import Work

OWN = Names.of("own", None)
"""What the profile of `write_profile` is called."""


class Jobs:
    """The jobs of one grid."""

    def __init__(self, work: Work, instance: dg.DagsterInstance):
        self.work, self.instance = work, instance

    @functools.cached_property
    def definitions(self) -> dg.Definitions:
        return definitions_of(self.work)

    def launch(
        self, job: str, *assets: str, key: str | None = None, settings: dict | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run these assets of a job (all without any), with other settings where some are given."""
        keys = [self.work.names.key(name) for name in assets]
        ops = {key.to_python_identifier(): {"config": {"settings": settings}} for key in keys} if settings else {}
        return self.definitions.resolve_job_def(self.work.names.of_grid(job)).execute_in_process(
            instance=self.instance, partition_key=key, asset_selection=keys or None, raise_on_error=False,
            run_config={"ops": ops},
        )  # fmt: skip

    def metadata(self, job: str, asset: str, **options) -> dict:
        """What a run of one asset tells Dagster of it."""
        result = self.launch(job, asset, **options)
        (event,) = result.asset_materializations_for_node(self.work.names.key(asset).to_python_identifier())
        return event.metadata

    def failure(self, job: str, *assets: str, **options) -> str:
        """What the one step of a run that fails says."""
        (event,) = [event for event in self.launch(job, *assets, **options).all_node_events if event.is_step_failure]
        return event.step_failure_data.user_failure_data.description
