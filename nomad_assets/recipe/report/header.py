"""The line below the title: of when, by which version, on which machines, and what it took.

    NOMAD report, profile quickstart · results up to 2026-11-27 21:40 UTC · nomad-assets 0.1.0 · 37 steps in 50.3 min
    (0.84 machine hours) on a CPU (x86_64) with 2 cores

The date is that of the newest artifact and not the clock's: the same artifacts give the same page, whenever it is made.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import polars as pl

from nomad_assets.recipe.report.formatting import counted, duration, listed
from nomad_assets.recipe.report.report_data import ReportData

HOURS = 7200
"""Seconds from which on hours alone are said."""
STEPS = {"seconds": pl.Float64, "ended": pl.Float64, "machine": pl.String, "cpus": pl.Int64, "device": pl.String}
PLACE = ("machine", "cpus", "device")


def steps_made(facts: Iterable[Sequence]) -> pl.DataFrame:
    """`ReportData.steps` from what manifests say of artifacts: seconds, ended and host, each artifact in a row."""
    rows = []
    for seconds, ended, host in facts:
        cpus = host.get("cpus", "")
        rows.append((seconds, ended, host.get("machine"), int(cpus) if cpus.isdigit() else None, host.get("device")))
    return pl.DataFrame(rows, schema=STEPS, orient="row")


def subtitle(data: ReportData) -> str:
    """What the page is of. Steps that the report does not read are not counted: the pools of seeds and questions, the base
    model, seed subsets."""
    parts = [f"NOMAD report, profile {data.profile_name}"]
    if (newest := data.steps["ended"].max()) is not None:
        parts.append(f"results up to {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M} UTC")
    parts.append(f"nomad-assets {data.made_with}")
    if not data.steps.is_empty():
        parts.append(_took(data.steps))
    return " · ".join(parts)


def _took(steps: pl.DataFrame) -> str:
    seconds = steps["seconds"].sum()
    spent = f"{counted(steps.height, 'step')} in {_hours(seconds)}"
    if seconds < HOURS:
        spent = f"{counted(steps.height, 'step')} in {duration(seconds)} ({_hours(seconds)})"
    machines = _with_devices(steps).group_by(PLACE, maintain_order=True).agg(pl.col("seconds").sum())
    machines = machines.sort("seconds", descending=True, maintain_order=True)
    names = [_machine(*place) for place in machines.select(PLACE).iter_rows()]
    if len(names) == 1:
        return f"{spent} on {names[0]}"
    each = [f"{_hours(spent)} on {name}" for name, spent in zip(names, machines["seconds"], strict=True)]
    return f"{spent}: {listed(each)}"


def _with_devices(steps: pl.DataFrame) -> pl.DataFrame:
    """A step that does not load torch does not know its machine's GPU: it is that of the machine's other steps."""
    known = steps.drop_nulls("device").unique(["machine", "cpus"], keep="first", maintain_order=True)
    other = known.select("machine", "cpus", known_device="device")
    joined = steps.join(other, on=["machine", "cpus"], how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.coalesce("device", "known_device").alias("device")).drop("known_device")


def _machine(machine: str | None, cpus: int | None, device: str | None) -> str:
    cores = f" with {counted(cpus, 'core')}" if cpus else ""
    if device not in (None, "cpu"):
        return f"{device}{cores}"
    return f"a CPU ({machine or 'unknown'}){cores}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} machine hours"
