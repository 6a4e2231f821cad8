"""The checks as Dagster asset checks, partitioned like their assets, and a job that runs all of them on what is stored."""

import warnings
from collections.abc import Iterator

import dagster as dg

from nomad_assets.assets.project import Project
from nomad_assets.check_runs import Result, check_place, check_places
from nomad_assets.checks import CHECKS, LINEAGE, MAX_ROWS
from nomad_assets.steps import STEPS


def asset_checks(project: Project) -> list[dg.AssetChecksDefinition]:
    """One definition per partitioning, so that a run of a cell pays for one step; any subset can be executed alone."""
    return [_checks_of(project, kind) for kind in ("none", "size", "cell")]


def _checks_of(project: Project, kind: str) -> dg.AssetChecksDefinition:
    partitions = project.grid.partitions(kind)
    names = [name for name, step in STEPS.items() if step.partitions == kind]
    names += [LINEAGE] if kind == "none" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks: without them a check has no cell
        specs = [
            dg.AssetCheckSpec(check.name, asset=name, description=check.description, partitions_def=partitions)
            for name in names
            for check in CHECKS
            if name in check.assets
        ]

    @dg.multi_asset_check(
        name=f"checks_by_{kind}" if partitions else "checks_without_partition", specs=specs, can_subset=True
    )
    def run_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        cell = project.grid.cell_of(context.partition_key if partitions else None)
        wanted = context.selected_asset_check_keys
        for name in names:
            chosen = {key.name for key in wanted if key.asset_key == dg.AssetKey(name)}
            if not chosen:
                continue
            results = check_place(project, name, cell, chosen)
            for result in results:
                yield dg.AssetCheckResult(
                    asset_key=name, check_name=result.check.name, passed=result.finding.passed,
                    severity=dg.AssetCheckSeverity[result.severity], **_shown(result),
                )  # fmt: skip
            for missing in chosen - {result.check.name for result in results}:
                yield dg.AssetCheckResult(
                    asset_key=name, check_name=missing, passed=False, severity=dg.AssetCheckSeverity.WARN,
                    description="nothing is stored here; materialise it first",
                )  # fmt: skip

    return run_checks


def checks_job(project: Project) -> dg.JobDefinition:
    @dg.op(name="check_what_is_stored")
    def check_what_is_stored(context: dg.OpExecutionContext) -> None:
        """Every check in every stored partition; fails when one of severity ERROR fails."""
        errors = []
        for result in check_places(project, [*STEPS, LINEAGE]):
            key = result.cell.partition_key
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(result.asset), check_name=result.check.name, passed=result.finding.passed,
                    severity=dg.AssetCheckSeverity[result.severity], partition=None if key is None else str(key), **_shown(result),
                )
            )  # fmt: skip
            if result.is_error:
                errors.append(f"{result.place} {result.check.name}: {result.finding.text}")
        if errors:
            raise dg.Failure("\n".join(errors), allow_retries=False)

    @dg.job(
        name="checks", description="Every check on what is stored, in every partition. Schedule it, or run it in CI."
    )
    def checks() -> None:
        check_what_is_stored()

    return checks


def _shown(result: Result) -> dict:
    metadata: dict[str, object] = dict(result.finding.numbers)
    if result.finding.rows:
        keys = list(dict.fromkeys(key for row in result.finding.rows for key in row))
        records = [
            dg.TableRecord({key: str(row.get(key, "")) for key in keys}) for row in result.finding.rows[:MAX_ROWS]
        ]
        metadata["failing_rows"] = dg.MetadataValue.table(records)
        metadata["failing_rows_in_all"] = len(result.finding.rows)
    return {"description": result.finding.text, "metadata": metadata}
