"""Jobs: what people launch from the UI and what `nomad-assets run` runs. Derived from what steps are made for."""

import dagster as dg

from nomad_assets.cells import Over
from nomad_assets.engine.step import Step
from nomad_assets.wiring.stages import STAGES, stages_of
from nomad_assets.wiring.work import Work

LINEAGE = "lineage_db"
# A step that dies is tried again and goes on from its checkpoint or its last whole shard. Bad data is never retried:
# it raises Failure(allow_retries=False).
RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)


def stages(work: Work) -> dict[str, list[Step]]:
    """Steps by the stage that runs them together."""
    return stages_of(work.grid)


def job_of(work: Work, asset: str) -> str:
    """The job that makes an asset."""
    for stage, steps in stages(work).items():
        if asset in {step.name for step in steps}:
            return work.names.of_grid(stage)
    raise KeyError(asset)


def jobs(work: Work) -> list:
    made = []
    for stage, steps in stages(work).items():
        last = [LINEAGE] if stage == "report" else []
        made.append(_job(work, stage, [*(step.name for step in steps), *last], STAGES[stage]))
    scored = [step.name for step in work.grid.graph.values() if step.over is Over.SELECTIONS and step.group == "scores"]
    again = "Score the student of a cell again, for example after the benchmarks changed."
    return [*made, _job(work, "evaluation", scored, again)]


def _job(work: Work, name: str, assets: list[str], description: str):
    return dg.define_asset_job(
        work.names.of_grid(name), selection=work.names.selection(*assets), description=description,
        op_retry_policy=RETRIES, tags=work.tags, executor_def=work.executor,
    )  # fmt: skip
