"""Starting with one's own data: a project folder, what a seed file holds, what this machine can do."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from nomad_assets.cli.terminal import ProfileOption, console, errors, short

COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


def init(
    folder: Annotated[Path, typer.Argument(help="The new project folder.")],
    seeds: Annotated[
        str | None,
        typer.Option(help="Your examples: a .jsonl, .json, .parquet or .csv file, a folder, or hf://owner/name."),
    ] = None,
) -> None:
    """Write a project folder: a commented profile, Dagster's files, and your examples with some held out as questions.

    Example: nomad-assets init my-project --seeds my.jsonl
    """
    from nomad_assets.first_steps.starter import start

    with errors():
        made, rows = start(folder, seeds)
    for path in made:
        print(short(path))
    if seeds:
        console.print(escape(rows.words()), highlight=False, soft_wrap=True)
    steps = [
        f"cd {escape(shlex.quote(str(folder)))}",
        *([] if seeds else ["put your rows into data/"]),
        "nomad-assets inspect data/seeds.jsonl",
    ]
    console.print("next: " + "; ".join([*steps, "nomad-assets run"]), highlight=False, soft_wrap=True)


def inspect(
    seeds: Annotated[str, typer.Argument(help="A .jsonl, .json, .parquet or .csv file, a folder, or hf://owner/name.")],
    profile: ProfileOption = None,
    estimate: Annotated[
        bool, typer.Option(help="Measure this machine for some seconds and say what the grid will take.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")] = False,
) -> None:
    """Show what a seed file holds, and what the grid will take on this machine, before anything is trained.

    Example: nomad-assets inspect data/seeds.jsonl --no-estimate
    """
    with errors(), console.status("reading and measuring"):
        from nomad_assets.first_steps.planning import planned
        from nomad_assets.first_steps.survey import survey
        from nomad_assets.opening import open_grid
        from nomad_assets.profile.load import load_profile
        from nomad_assets.status import problems

        loaded = load_profile(profile)
        found = survey(loaded, seeds, estimate)
        grid, store = open_grid(loaded)
        wrong = problems(grid, store).words()
        doubts = planned(grid, store).doubts(profile) if not wrong else None
    if as_json:
        print(json.dumps({**found.record(), "doubts": doubts}, indent=1, ensure_ascii=False))
    else:
        out = Console()
        for part in [*found.words(), *([f"note: {doubts}"] if doubts else [])]:
            out.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))
    for text in wrong:
        console.print(f"[red]problem[/] profile {escape(f'{loaded.name}: {text}')}", highlight=False, soft_wrap=True)


def doctor(profile: ProfileOption = None) -> None:
    """Say what is installed, which engine and precision will be used, and what is missing; exit 1 when something is.

    Example: nomad-assets doctor
    """
    titles = ("", "what", "found", "what to do")
    table = Table(*(Column(title, overflow="fold") for title in titles), box=None, pad_edge=False)
    with errors(), console.status("looking"):
        from nomad_assets.first_steps.doctor import examine

        lines = list(examine(profile))
    for line in lines:
        words = (escape(text) for text in (line.what, line.found, line.remedy))
        table.add_row(f"[{COLOURS[line.state]}]{line.state}[/]", *words)
    Console().print(table)
    if any(line.state == "missing" for line in lines):
        raise typer.Exit(1)
