"""What a run would make, why, and what it will take."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from nomad_assets.cells import Cell
from nomad_assets.cli.display import Display
from nomad_assets.cli.listing import place_names, reasons_in_short
from nomad_assets.cli.terminal import duration
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.first_steps.survey import seconds_on_this_machine
from nomad_assets.wiring.orders import Expected, Order
from nomad_assets.wiring.runs import GridRun


@dataclass(frozen=True)
class Found:
    lines: list[str | Table]
    failures: list[str]


def what_would_be_made(profile: str | None, order: Order, display: Display) -> Found:
    """Seconds come from earlier runs; where there was none, from measuring this machine as `inspect` does."""
    with display.busy("looking at what there is"):
        run = GridRun(profile, order)
    steps, measured = run.expected(), {}
    if any(step.seconds is None for step in steps):
        with display.busy("measuring this machine: a few training steps and one decoded batch"):
            measured = seconds_on_this_machine(run.profile)
    doubts = run.doubts() if steps else None
    return Found(
        [*forecast_lines(steps, measured), *([f"note: {doubts}"] if doubts else [])],
        [f"{place_name(*place)}: {why}" for place, why in run.impossible.items()],
    )


def forecast_lines(steps: list[Expected], measured: dict[str, float]) -> list[str | Table]:
    """A table with a line for steps of one asset with the same reasons, and the total. `measured`: seconds by asset."""
    if not steps:
        return ["nothing would be made: everything is current"]
    table = Table("would be made", "because", "takes", box=None, pad_edge=False)
    groups: dict[tuple[str, tuple[str, ...]], list[Expected]] = {}
    for step in steps:
        groups.setdefault((step.step.name, tuple(step.reasons)), []).append(step)
    for (asset, reasons), group in groups.items():
        why = reasons_in_short(list(reasons)) or "nothing is there yet"
        seconds = [found for step in group if (found := _seconds(step, measured)) is not None]
        takes = f"about {duration(sum(seconds))}" if seconds else "little"
        table.add_row(escape(place_names(asset, _cells(group))), escape(why), takes)
    known = [found for step in steps if (found := _seconds(step, measured)) is not None]
    sources = ["earlier runs"] if any(step.seconds is not None for step in steps) else []
    sources += ["measuring this machine"] if measured else []
    total = f"{len(steps)} steps, about {duration(sum(known))} in all, by {' and '.join(sources)}"
    return [table, f"{total}; what depends on a step is not made if the step comes out as it was"]


def _cells(group: list[Expected]) -> list[Cell]:
    return [step.cell for step in group]


def _seconds(step: Expected, measured: dict[str, float]) -> float | None:
    return step.seconds if step.seconds is not None else measured.get(step.step.name)
