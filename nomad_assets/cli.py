"""`nomad-assets`: the grid from a terminal, as real Dagster runs in the instance that the UI shows.

Exit codes: 0 done, 1 a step failed, 2 wrong usage or settings.
"""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nomad_assets.errors import NomadError

app = typer.Typer(help="Train teachers to write training data, and find out what it is worth.", no_args_is_help=True)
console = Console(stderr=True)
ProfileOption = Annotated[
    str | None, typer.Option("--profile", "-p", help="A profile that ships, or the path of your own.")
]


@app.callback()
def main() -> None:
    # Read when tqdm is imported: the libraries' own bars would tear ours apart.
    os.environ.setdefault("TQDM_DISABLE", "1")


@app.command()
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
    from nomad_assets.runs import run_grid

    with _errors(), _bars() as bars:
        failures = run_grid(
            profile,
            cell or [],
            until,
            force,
            bars.update,
            lambda text: bars.progress.console.print(text, highlight=False, soft_wrap=True),
        )
    if failures:
        for failure in failures:
            console.print(f"[red]failed[/] {failure}", highlight=False)
        raise typer.Exit(1)


@app.command()
def report(profile: ProfileOption = None) -> None:
    """Print the current report and where its HTML lies."""
    from nomad_assets.partitions import Cell
    from nomad_assets.profile import load_profile
    from nomad_assets.storage import Store

    with _errors():
        artifact = Store.of(load_profile(profile)).require("recipe_report", Cell())
    text = (artifact / "report.md").read_text(encoding="utf-8")
    out = Console()
    if out.is_terminal:
        out.print(Markdown(text))
    else:
        print(text)
    console.print(f"HTML: {_short(artifact / 'report.html')}", highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class _errors:
    """Prints a NomadError as its message and exits with 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, NomadError):
            console.print(f"[red]error[/] {error}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None


class _bars:
    """A bar per running step on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<32}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>4.0f}%"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[facts]}"), console=console, transient=True,
        )  # fmt: skip
        self.label: str | None = None
        self.task = None
        self.printed = time.monotonic()

    def __enter__(self) -> "_bars":
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


if __name__ == "__main__":
    sys.exit(app())
