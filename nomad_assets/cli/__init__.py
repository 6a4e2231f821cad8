"""`nomad-assets`: what people do from a terminal.

    terminal.py      the console, how errors end
    grid.py          run, report, ui
    display.py       what a run shows on a terminal and in a file
    journal.py       what a run tells of each step
    forecasts.py     what `run --dry-run` lists
    state.py         status, check
    listing.py       places, states and reasons in lines
    lineage.py       lineage trace | sql | sync
    housekeeping.py  withdraw, prune
    project.py       init, inspect, doctor
    power.py         power
    handover.py      export
    headroom.py      headroom

Exit codes: 0 done, 1 a step, a check or the doctor found something wrong, 2 wrong usage, settings or files.
"""

import io
import os
import sys
from typing import Annotated

import typer

from nomad_assets.cli import grid, handover, headroom, housekeeping, lineage, power, project, state

ENVIRONMENT = {
    "NOMAD_PROFILE": "the profile where --profile is not given",
    "NOMAD_HOME": "where artifacts lie (data/lake)",
    "DAGSTER_HOME": "where Dagster keeps its runs (this folder, or data/dagster where it has no dagster.yaml)",
}

app = typer.Typer(
    help="Train teachers to write training data, and find out what it is worth.",
    epilog="\n\n".join(
        [
            "Start: nomad-assets init my-project --seeds my.jsonl",
            "Exit codes: 0 done; 1 a step or a check failed; 2 wrong usage, settings or files.",
            "Environment variables:",
            *(f"{name}: {meaning}" for name, meaning in ENVIRONMENT.items()),
        ]
    ),
    no_args_is_help=True,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"nomad-assets {version('nomad-assets')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    # Read when tqdm is imported: the libraries' own bars would tear ours apart.
    os.environ.setdefault("TQDM_DISABLE", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets a question mark


for command in (
    project.init, project.inspect, project.doctor, headroom.headroom, power.power, grid.run, state.status, grid.report, state.check, grid.ui,
    handover.export, housekeeping.withdraw, housekeeping.prune,
):  # fmt: skip
    app.command()(command)
app.add_typer(lineage.app, name="lineage")
