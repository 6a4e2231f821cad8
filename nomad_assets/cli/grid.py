"""The grid from a terminal, as real Dagster runs in the instance that the UI shows."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from nomad_assets.cli.display import Display
from nomad_assets.cli.terminal import ProfileOption, console, errors, note, own_console, short
from nomad_assets.errors import NomadError

WARNED_OF_BY_DAGSTER = "ignore:Function `dev_command` is superseded"


def run(
    profile: ProfileOption = None,
    cell: Annotated[
        list[str] | None, typer.Option(help="Only this cell, such as 64/unmasked; may be given again.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this asset; only what it needs is made.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make artifacts again although nothing changed.")] = False,
    force_asset: Annotated[
        list[str] | None, typer.Option(help="Make this asset again, and what depends on it if it comes out different.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Also make again what is damaged: files lost or changed, manifests unreadable."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be made, why, and how long it will take.")
    ] = False,
) -> None:
    """Run the grid; what has not changed is reused, what was interrupted is continued.

    Example: nomad-assets run --profile quickstart --cell 64/unmasked --until curated_corpus
    """
    from nomad_assets.stopping import Stopped, leave, stoppable

    display, shown = Display(own_console()), []

    def work() -> list[str]:
        with display.busy("loading the profile and the steps"):
            from nomad_assets.cli.journal import Journal
            from nomad_assets.wiring.orders import Order
            from nomad_assets.wiring.runs import run_grid

        order = Order(cell or [], until, force, force_asset or [], repair)
        if dry_run:
            from nomad_assets.cli.forecasts import what_would_be_made

            found = what_would_be_made(profile, order, display)
            shown.extend(found.lines)
            return found.failures
        journal = Journal(display)
        return run_grid(profile, order, display.say, [journal], journal.expect)

    try:
        with errors(), display:
            failures = stoppable(work)
    except Stopped as stopped:
        console.print("[yellow]stopped[/]; run again to go on", soft_wrap=True)
        leave(stopped.number, _close_runs)
    for line in shown:
        Console().print(line, highlight=False, markup=False, soft_wrap=isinstance(line, str))
    for failure in failures:
        console.print(f"[red]failed[/] {escape(failure)}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _close_runs() -> None:
    if "dagster" in sys.modules:  # else nothing was run yet
        from nomad_assets.wiring.instance import cancel_own_runs

        cancel_own_runs()


def report(
    profile: ProfileOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write RESULTS.md, its plots and its data into this folder, to commit.")
    ] = None,
    no_texts: Annotated[
        bool, typer.Option("--no-texts", help="Leave the words of examples and rows out of what --out writes.")
    ] = False,
) -> None:
    """Print the current report and where its HTML lies; a line on standard error when it is out of date or incomplete.

    Example: nomad-assets report > report.md
    """
    from nomad_assets.cells import Cell
    from nomad_assets.cli.listing import remarks_on_report
    from nomad_assets.opening import open_grid
    from nomad_assets.recipe.report.archive import read_data, without_texts, write_results
    from nomad_assets.steps.report import DATA, HTML, MARKDOWN

    with errors():
        if no_texts and out is None:
            raise NomadError("--no-texts is for --out FOLDER")
        grid, store = open_grid(profile)
        artifact = store.require("recipe_report", Cell())
        with store.reading([artifact]):
            text = (artifact / MARKDOWN.name).read_text(encoding="utf-8")
            data = read_data(artifact / DATA.name) if out else None
        screen = Console()
        if screen.is_terminal:
            screen.print(Markdown(text))
        else:
            print(text, flush=True)
        for line in remarks_on_report(grid, store):
            note(line)
        if data is not None:
            note(f"written: {short(write_results(without_texts(data) if no_texts else data, out))}")
    note(f"HTML: {short(artifact / HTML.name)}")


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
    from nomad_assets.wiring.instance import enter_home

    with errors():
        load_profile(profile)
        if profile:
            os.environ["NOMAD_PROFILE"] = str(profile_path(profile).resolve())
        with socket.socket() as probe:  # the webserver would fail, and its daemon run on
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise NomadError(f"--port {port}: {error.strerror}; give another one") from None
        enter_home()
    known = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join([*([known] if known else []), WARNED_OF_BY_DAGSTER])
    own = ["-w", "workspace.yaml"] if Path("workspace.yaml").is_file() else ["-m", "nomad_assets.definitions"]
    program = str(Path(sys.executable).parent / "dagster")
    os.execv(program, [program, "dev", *own, "--host", "127.0.0.1", "--port", str(port)])
