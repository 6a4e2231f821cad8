"""The console, how errors end, and progress bars."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nomad_assets.errors import NomadError

console = Console(stderr=True)
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="A profile that ships, or the path of your own; default: nomad.toml here, else quickstart.",
    ),
]


def open_store(profile: str | None):
    from nomad_assets.profile.load import load_profile
    from nomad_assets.storage import Store

    return Store.of(load_profile(profile))


def short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


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


class Bars:
    """A bar per running step on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<32}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>4.0f}%"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[facts]}"), console=console, transient=True,
        )  # fmt: skip
        self.label: str | None = None
        self.task = None
        self.printed = time.monotonic()

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def update(self, label: str, done: float, total: float, facts: dict[str, float]) -> None:
        if label != self.label:
            if self.task is not None:
                self.progress.remove_task(self.task)
            self.label, self.task = label, self.progress.add_task(label, facts="")
        self.progress.update(self.task, completed=done, total=total, facts=_facts(facts))
        if not console.is_terminal and time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            console.print(f"  {label}: {done:.0f} of {total:.0f}  {_facts(facts)}", highlight=False, soft_wrap=True)


def _facts(facts: dict[str, float]) -> str:
    names = {"tokens_per_second": "tokens/s", "seconds_left": "s left"}
    return "  ".join(
        f"{value:.4g} {names[key]}" if key in names else f"{key} {value:.4g}" for key, value in facts.items()
    )
