"""The grid from a terminal, as real Dagster runs in the instance that the UI shows."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from nomad_assets.cli.terminal import Bars, ProfileOption, console, errors, short
from nomad_assets.errors import NomadError


def run(
    profile: ProfileOption = None,
    cell: Annotated[
        list[str] | None, typer.Option(help="Only this cell, such as 64/unmasked; may be given again.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this asset; only what it needs is made.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make artifacts again although nothing changed.")] = False,
) -> None:
    """Run the grid; what has not changed is reused, what was interrupted is continued.

    Example: nomad-assets run --profile quickstart --cell 64/unmasked --until curated_corpus
    """
    from nomad_assets.runs import cancel_own_runs, run_grid
    from nomad_assets.stopping import Stopped, leave, stoppable

    try:
        with errors(), Bars() as bars:

            def say(text: str) -> None:
                bars.progress.console.print(escape(text), highlight=False, soft_wrap=True)

            failures = stoppable(lambda: run_grid(profile, cell or [], until, force, bars.update, say))
    except Stopped as stopped:
        console.print("[yellow]interrupted[/]; run it again and it goes on where it was", soft_wrap=True)
        leave(stopped.number, cancel_own_runs)
    if failures:
        for failure in failures:
            console.print(f"[red]failed[/] {escape(failure)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)


def report(profile: ProfileOption = None) -> None:
    """Print the current report and where its HTML lies.

    Example: nomad-assets report > report.md
    """
    from nomad_assets.cells import Cell
    from nomad_assets.profile.load import load_profile
    from nomad_assets.storage import Store

    with errors():
        artifact = Store.of(load_profile(profile)).require("recipe_report", Cell())
        text = (artifact / "report.md").read_text(encoding="utf-8")
        out = Console()
        if out.is_terminal:
            out.print(Markdown(text))
        else:
            print(text, flush=True)
    console.print(escape(f"HTML: {short(artifact / 'report.html')}"), highlight=False, soft_wrap=True)


def check(
    profile: ProfileOption = None,
    asset: Annotated[list[str] | None, typer.Option(help="Only this asset's checks; may be given again.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell, such as 64/unmasked.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All results as JSON on standard output.")] = False,
) -> None:
    """Check everything that is stored; exit 1 when a check of severity ERROR fails or cannot be run.

    Example: nomad-assets check --profile quickstart --asset curated_corpus
    """
    from nomad_assets.check_runs import check_store

    with errors():
        results = check_store(profile, asset or [], cell or [])
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
    console.print(f"{len(results)} checks: {wrong} errors, {len(failed) - wrong} warnings", highlight=False)
    if wrong:
        raise typer.Exit(1)


def ui(
    profile: ProfileOption = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="On 127.0.0.1: Dagster's own webserver has no login.")
    ] = 3000,
) -> None:
    """Serve the Dagster UI of this folder, with its daemon, until it is stopped.

    Example: nomad-assets ui --port 3001
    """
    from nomad_assets.profile.load import load_profile, profile_path

    with errors():
        load_profile(profile)
        if profile:
            os.environ["NOMAD_PROFILE"] = str(profile_path(profile).resolve())
        if not Path("workspace.yaml").is_file():
            raise NomadError(
                "no workspace.yaml in this folder; change to the project's folder, or `nomad-assets init` one"
            )
        with socket.socket() as probe:  # the webserver would fail, and its daemon run on
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise NomadError(f"--port {port}: {error.strerror}; give another one") from None
    os.environ.setdefault("DAGSTER_HOME", str(Path.cwd()))
    program = str(Path(sys.executable).parent / "dagster")
    os.execv(program, [program, "dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)])
