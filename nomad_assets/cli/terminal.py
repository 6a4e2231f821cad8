"""The console, how errors end, and what a run says while it works."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nomad_assets.errors import NomadError

if TYPE_CHECKING:
    from nomad_assets.store.protocol import Store

console = Console(stderr=True)
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="A profile that ships, or the path of your own; default: nomad.toml here, else quickstart.",
    ),
]


def own_console() -> Console:
    """Standard error by a handle of its own: while a step runs, Dagster sends the usual one to the step's log."""
    try:
        handle = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # no file, as in tests
        return console
    return Console(file=open(handle, "w", encoding=sys.stderr.encoding, errors="replace", buffering=1))


def open_store(profile: str | None) -> "Store":
    from nomad_assets.profile.load import load_profile
    from nomad_assets.store.home import store_of

    return store_of(load_profile(profile).name)


def short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def note(text: str) -> None:
    """A line on standard error, as it stands."""
    console.print(escape(text), highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class errors:
    """Prints a NomadError, or what a disk or a permission refused, as its message and exits with 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, NomadError | OSError) and not isinstance(error, BrokenPipeError):  # which is quiet
            console.print(f"[red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
        database = sys.modules.get("sqlalchemy.exc")
        if database and isinstance(error, database.OperationalError):
            text = (
                f"Dagster could not write to its storage in {os.environ.get('DAGSTER_HOME')}: {error.orig}; run again"
            )
            console.print(f"[red]error[/] {escape(text)}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
