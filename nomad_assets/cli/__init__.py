"""`nomad-assets`: what people do from a terminal.

    terminal.py      the console, how errors end, progress bars
    grid.py          run, report, check, ui
    lineage.py       lineage trace | sql | sync
    housekeeping.py  withdraw, prune
    project.py       init, inspect, doctor
    handover.py      export

Exit codes: 0 done, 1 a step, a check or the doctor found something wrong, 2 wrong usage, settings or files.
"""

import io
import os
import sys

import typer

from nomad_assets.cli import grid, handover, housekeeping, lineage, project

app = typer.Typer(
    help="Train teachers to write training data, and find out what it is worth.",
    epilog="Start: nomad-assets init my-project --seeds my.jsonl · Exit codes: 0 done; 1 a step or a check failed; 2 wrong usage, settings or files.",
    no_args_is_help=True,
)


@app.callback()
def main() -> None:
    # Read when tqdm is imported: the libraries' own bars would tear ours apart.
    os.environ.setdefault("TQDM_DISABLE", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets a question mark


for command in (
    project.init, project.inspect, project.doctor, grid.run, grid.report, grid.check, grid.ui, handover.export,
    housekeeping.withdraw, housekeeping.prune,
):  # fmt: skip
    app.command()(command)
app.add_typer(lineage.app, name="lineage")
