"""What there is, and whether it is right: status and check."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nomad_assets.cli.terminal import ProfileOption, console, errors, note
from nomad_assets.errors import NomadError

COLOURS = {
    "current": "green",
    "not needed": "green",
    "missing": "yellow",
    "out of date": "yellow",
    "withdrawn": "red",
    "unreadable": "red",
}
DAMAGE = "stored_files_match_their_manifest"


def status(
    profile: ProfileOption = None,
    everything: Annotated[bool, typer.Option("--all", help="List what is current, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")] = False,
) -> None:
    """List what is out of date, missing, withdrawn or unreadable, with the reasons, and what will keep a run from working.

    Exit 1 when something is unreadable or a run cannot work; 0 otherwise, whatever is out of date.

    Example: nomad-assets status --all
    """
    with errors(), console.status("looking at what there is"):
        from nomad_assets.cli import listing
        from nomad_assets.lineage.retention import places_outside
        from nomad_assets.opening import open_grid
        from nomad_assets.status import problems
        from nomad_assets.status import status as look

        grid, store = open_grid(profile)
        found, states, orphans = problems(grid, store).words(), look(grid, store), places_outside(grid, store)
    if as_json:
        record = {
            "profile": grid.profile.name, "store": store.name, "problems": found, "places": [s.record() for s in states],
            "outside": [{"asset": asset, "partition": cell.label} for asset, cell in orphans],
        }  # fmt: skip
        print(json.dumps(record, indent=1))
    else:
        out = Console()
        for text in found:
            out.print(f"[red]problem[/] {escape(text)}", highlight=False, soft_wrap=True)
        for state, places, reasons in listing.listed(states, everything):
            words = f"{places}: {reasons}" if reasons else places
            out.print(f"[{COLOURS[state]}]{state}[/] {escape(words)}", highlight=False, soft_wrap=True)
        if stored := listing.outside(orphans):
            out.print(escape(stored), highlight=False, soft_wrap=True)
        for text in listing.remarks_on_libraries(states):
            out.print(escape(f"note: {text}"), highlight=False, soft_wrap=True)
        out.print(escape(f"{listing.counted(states)}, in {store.name}"), highlight=False, soft_wrap=True)
    if found or any(state.state == "unreadable" for state in states):
        raise typer.Exit(1)


def check(
    profile: ProfileOption = None,
    asset: Annotated[list[str] | None, typer.Option(help="Only this asset's checks; may be given again.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell, such as 64/unmasked.")] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Fail when something is out of date or missing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All results as JSON on standard output.")] = False,
) -> None:
    """Check everything that is stored; exit 1 when a check of severity ERROR fails or cannot be run.

    Example: nomad-assets check --profile quickstart --asset curated_corpus
    """
    with errors():
        from nomad_assets.cli import listing
        from nomad_assets.definitions import work_of
        from nomad_assets.profile.load import load_profile
        from nomad_assets.status import status as look
        from nomad_assets.wiring.checks import check_everything, known_checks

        work = work_of(load_profile(profile))
        known = known_checks(work)
        unknown = [name for name in asset or [] if name not in known]
        if unknown:
            raise NomadError(f"--asset {unknown[0]!r}: unknown asset; known: {', '.join(known)}")
        cells = [work.grid.parse(text) for text in cell or []]
        results = list(check_everything(work, asset or None, cells))
        places = [
            s for s in look(work.grid, work.store) if s.step.name in (asset or known) and (not cells or s.cell in cells)
        ]
        if not results:
            raise NomadError(f"nothing of this is stored in {work.store.name}; run nomad-assets run first")
    failed = [result for result in results if not result.finding.passed]
    for result in failed:
        colour = "red" if result.is_error else "yellow"
        console.print(
            f"[{colour}]{result.severity}[/] {escape(f'{result.place} {result.check.name}: {result.finding.text}')}",
            highlight=False,
            soft_wrap=True,
        )
    if as_json:
        print(json.dumps([result.record() for result in results], indent=1))
    wrong = sum(result.is_error for result in failed)
    if any(result.check.name == DAMAGE for result in failed):
        note("nomad-assets run --repair makes what is damaged again")
    stale = listing.incomplete(places)
    if stale:
        note(f"{'incomplete' if complete else 'note'}: {stale}")
    console.print(f"{len(results)} checks: {wrong} errors, {len(failed) - wrong} warnings", highlight=False)
    if wrong or (complete and stale):
        raise typer.Exit(1)
