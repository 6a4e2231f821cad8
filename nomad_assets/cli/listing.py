"""Places with their states and reasons as lines that people read: those of one asset with the same reasons share one."""

from collections import Counter
from collections.abc import Iterable, Iterator

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.grid import Grid
from nomad_assets.status import PlaceStatus, State, status
from nomad_assets.store.protocol import Store

ORDER: tuple[State, ...] = ("unreadable", "withdrawn", "out of date", "missing", "not needed", "current")
REPORT = "recipe_report"
SHOWN_REASONS = 6


def place_names(asset: str, cells: Iterable[Cell]) -> str:
    """`teacher_model [8/masked, 8/unmasked]`; an asset of the whole grid by its name alone."""
    labels = [cell.label for cell in cells]
    return asset if labels == ["-"] else f"{asset} [{', '.join(labels)}]"


def reasons_in_short(reasons: list[str]) -> str:
    left_out = len(reasons) - SHOWN_REASONS
    return "; ".join(reasons[:SHOWN_REASONS]) + (f"; and {left_out} more" if left_out > 0 else "")


def listed(states: list[PlaceStatus], everything: bool) -> list[tuple[State, str, str]]:
    """(state, places, reasons), the worst states first; those that are current only with `everything`."""
    groups: dict[tuple[State, str, tuple[str, ...]], list[Cell]] = {}
    for state in states:
        if everything or state.state != "current":
            groups.setdefault((state.state, state.step.name, tuple(state.reasons)), []).append(state.cell)
    lines = [
        (name, place_names(asset, cells), reasons_in_short(list(why))) for (name, asset, why), cells in groups.items()
    ]
    return sorted(lines, key=lambda line: ORDER.index(line[0]))


def counted(states: list[PlaceStatus]) -> str:
    """`37 places: 30 current, 7 missing`."""
    counts = Counter(state.state for state in states)
    parts = [f"{counts[name]} {name}" for name in reversed(ORDER) if counts[name]]
    return f"{len(states)} places: {', '.join(parts)}"


def incomplete(states: list[PlaceStatus]) -> str | None:
    """What a run would make, as one line; None when everything is current."""
    states = [state for state in states if not state.step.asked]
    wrong = [state for state in states if not state.is_fine]
    if not wrong:
        return None
    counts = Counter(state.state for state in wrong)
    parts = [f"{counts[name]} {name}" for name in ORDER if counts[name]]
    first = wrong[0]
    why = f" ({reasons_in_short(first.reasons)})" if first.reasons else ""
    return f"{', '.join(parts)} of {len(states)} places, first {first.place}{why}; nomad-assets status lists all"


def remarks_on_report(grid: Grid, store: Store) -> Iterator[str]:
    """Why the newest report is not what a run would make now, and which cells it misses."""
    states = status(grid, store)
    report = next(state for state in states if state.step.name == REPORT)
    if report.state != "current":
        yield f"this report is {report.state}: {reasons_in_short(report.reasons)}; nomad-assets run makes it again"
    scores = report.step.inputs
    cells = {
        state.cell for state in states if state.step.name in scores and state.state == "missing" and state.cell.arm
    }
    students = grid.members(Over.SELECTIONS)
    missing = [cell.label for cell in students if cell in cells]
    if missing:
        yield f"this report misses {len(missing)} of {len(students)} cells, which have no scores yet: {', '.join(missing)}"


def remarks_on_libraries(states: list[PlaceStatus]) -> list[str]:
    """Libraries of which another version made what there is; they make nothing out of date."""
    notes = Counter(text for state in states for text in state.notes)
    made = sum(state.artifact is not None for state in states)
    return [f"{text} (since {count} of {made} artifacts were made)" for text, count in notes.items()]


def outside(places: list[tuple[str, Cell]]) -> str | None:
    """Stored places that the profile's grid does not have, as one line."""
    if not places:
        return None
    return f"{len(places)} stored places are outside the grid; nomad-assets prune --outside removes them: " + ", ".join(
        place_name(*place) for place in places
    )
