"""The checks as Dagster asset checks, partitioned like their assets, and a job that runs all of them on what is stored."""

import warnings
from collections.abc import Iterator

import dagster as dg

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import MAX_ROWS, Check, Finding, Result, check_place, check_places, checks_of
from nomad_assets.wiring.jobs import LINEAGE
from nomad_assets.wiring.lineage import LINEAGE_CHECKS, check_lineage
from nomad_assets.wiring.partitions import partition_key
from nomad_assets.wiring.work import Work


def asset_checks(work: Work) -> list[dg.AssetChecksDefinition]:
    """One definition per partitioning, so that a run of a cell pays for one step; any subset can be executed alone."""
    return [_checks_over(work, over) for over in Over]


def _checks_over(work: Work, over: Over) -> dg.AssetChecksDefinition:
    partitions, key = work.partitions.definition(over), work.names.key
    checked = {step.name: checks_of(step) for step in work.grid.graph.values() if step.over is over}
    if over is Over.GRID:
        checked[LINEAGE] = LINEAGE_CHECKS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks: without them a check has no cell
        specs = [
            dg.AssetCheckSpec(check.name, asset=key(name), description=check.description, partitions_def=partitions)
            for name, checks in checked.items()
            for check in checks
        ]

    @dg.multi_asset_check(name=work.names.of_grid(f"checks_by_{over.value}"), specs=specs, can_subset=True)
    def run_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        cell = work.partitions.cell(context.partition_key if partitions else None)
        for name in checked:
            chosen = {k.name for k in context.selected_asset_check_keys if k.asset_key == key(name)}
            if not chosen:
                continue
            results = _results(work, name, cell, chosen)
            for result in results:
                yield dg.AssetCheckResult(
                    asset_key=key(name), check_name=result.check.name, passed=result.finding.passed,
                    severity=dg.AssetCheckSeverity[result.severity], **_shown(result.finding),
                )  # fmt: skip
            for missing in chosen - {result.check.name for result in results}:
                yield dg.AssetCheckResult(
                    asset_key=key(name), check_name=missing, passed=False, severity=dg.AssetCheckSeverity.WARN,
                    description="nothing is stored here; materialise it first",
                )  # fmt: skip

    return run_checks


def _results(work: Work, name: str, cell: Cell, chosen: set[str]) -> list[Result]:
    if name == LINEAGE:
        return [result for result in check_lineage(work.store) if result.check.name in chosen]
    return check_place(work.grid, work.store, work.grid.graph[name], cell, chosen)


def check_everything(work: Work, assets: list[str] | None = None, cells: list[Cell] | None = None) -> Iterator[Result]:
    """Every check in every stored partition, or of these assets and cells alone."""
    graph = work.grid.graph
    steps = [step for step in graph.values() if assets is None or step.name in assets]
    yield from check_places(work.grid, work.store, steps, cells)
    if (assets is None or LINEAGE in assets) and not cells:
        yield from check_lineage(work.store)


def checks_job(work: Work) -> dg.JobDefinition:
    @dg.op(name=work.names.of_grid("check_what_is_stored"))
    def check_what_is_stored(context: dg.OpExecutionContext) -> None:
        """Every check in every stored partition; fails when one of severity ERROR fails."""
        errors = []
        for result in check_everything(work):
            key = partition_key(result.cell)
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=work.names.key(result.asset), check_name=result.check.name, passed=result.finding.passed,
                    severity=dg.AssetCheckSeverity[result.severity], partition=None if key is None else str(key),
                    **_shown(result.finding),
                )
            )  # fmt: skip
            if result.is_error:
                errors.append(f"{result.place} {result.check.name}: {result.finding.text}")
        if errors:
            raise dg.Failure("\n".join(errors), allow_retries=False)

    @dg.job(
        name=work.names.of_grid("checks"), tags=work.tags,
        description="Every check on what is stored, in every partition. Schedule it, or run it in CI.",
    )  # fmt: skip
    def checks() -> None:
        check_what_is_stored()

    return checks


def _shown(finding: Finding) -> dict:
    metadata: dict[str, object] = dict(finding.numbers)
    if finding.rows:
        keys = list(dict.fromkeys(key for row in finding.rows for key in row))
        records = [dg.TableRecord({key: str(row.get(key, "")) for key in keys}) for row in finding.rows[:MAX_ROWS]]
        metadata["failing_rows"] = dg.MetadataValue.table(records)
        metadata["failing_rows_in_all"] = len(finding.rows)
    return {"description": finding.text, "metadata": metadata}


def known_checks(work: Work) -> dict[str, list[Check]]:
    """The checks of every asset."""
    return {**{step.name: checks_of(step) for step in work.grid.graph.values()}, LINEAGE: LINEAGE_CHECKS}
