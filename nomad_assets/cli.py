"""`nomad-assets`: the grid from a terminal, as real Dagster runs in the instance that the UI shows.

Exit codes: 0 done, 1 a step or a check failed, 2 wrong usage or settings.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nomad_assets.errors import NomadError

app = typer.Typer(help="Train teachers to write training data, and find out what it is worth.", no_args_is_help=True)
lineage_app = typer.Typer(
    help="What was made from what: the way back from any row, artifact or score.", no_args_is_help=True
)
app.add_typer(lineage_app, name="lineage")
console = Console(stderr=True)
ProfileOption = Annotated[
    str | None, typer.Option("--profile", "-p", help="A profile that ships, or the path of your own.")
]


@app.callback()
def main() -> None:
    # Read when tqdm is imported: the libraries' own bars would tear ours apart.
    os.environ.setdefault("TQDM_DISABLE", "1")
    # Read when torch is imported. Threads that spin while they wait make two training processes on the same cores ten
    # times slower instead of two.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
    from nomad_assets.runs import cancel_own_runs, run_grid
    from nomad_assets.stopping import Stopped, leave, stoppable

    try:
        with _errors(), _bars() as bars:

            def say(text: str) -> None:
                bars.progress.console.print(text, highlight=False, soft_wrap=True)

            failures = stoppable(lambda: run_grid(profile, cell or [], until, force, bars.update, say))
    except Stopped as stopped:
        console.print("[yellow]interrupted[/]; run it again and it goes on where it was", soft_wrap=True)
        leave(stopped.number, cancel_own_runs)
    if failures:
        for failure in failures:
            console.print(f"[red]failed[/] {failure}", highlight=False, soft_wrap=True)
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


@app.command()
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

    with _errors():
        results = check_store(profile, asset or [], cell or [])
    failed = [result for result in results if not result.finding.passed]
    for result in failed:
        colour = "red" if result.is_error else "yellow"
        console.print(
            f"[{colour}]{result.severity}[/] {result.place} {result.check.name}: {result.finding.text}",
            highlight=False,
            soft_wrap=True,
        )
    if as_json:
        print(json.dumps([result.record() for result in results], indent=1))
    errors = sum(result.is_error for result in failed)
    console.print(f"{len(results)} checks: {errors} errors, {len(failed) - errors} warnings", highlight=False)
    if errors:
        raise typer.Exit(1)


@lineage_app.command()
def trace(
    reference: Annotated[
        str, typer.Argument(help="An artifact, asset/cell, row, score (ARTIFACT#BENCHMARK/METRIC) or seed row.")
    ],
    profile: ProfileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")] = False,
) -> None:
    """The way back from an artifact, a synthetic row or a score to its seed rows and its base model.

    Example: nomad-assets lineage trace 64/unmasked/000012-0
    """
    from nomad_assets.lineage.sync import reading
    from nomad_assets.lineage.trace import draw
    from nomad_assets.lineage.trace import trace as find

    with _errors():
        store = _store(profile)
        with reading(store) as connection:
            found = find(connection, store, reference)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(draw(found))


@lineage_app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="A question; tables, views and macros stand in nomad_assets/lineage/README.md.")
    ],
    profile: ProfileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON lines.")] = False,
) -> None:
    """Ask the lineage database; read-only.

    Example: nomad-assets lineage sql "FROM drops"
    """
    from nomad_assets.lineage.questions import ask

    with _errors():
        table = ask(_store(profile), query)
    if as_json:
        print(table.write_ndjson(), end="")
    else:
        from polars import Config

        with Config(
            tbl_rows=100,
            tbl_cols=50,
            fmt_str_lengths=80,
            tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True,
            tbl_width_chars=240,
        ):
            print(table)


@lineage_app.command()
def sync(
    profile: ProfileOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="From nothing, in place of the old file.")] = False,
) -> None:
    """Bring the lineage database up to date, which every reader does by itself."""
    from nomad_assets.lineage import sync as lineage

    with _errors():
        store = _store(profile)
        count = lineage.rebuild(store) if rebuild else lineage.sync(store)
    console.print(f"{count} artifacts read into {_short(lineage.path_of(store))}", highlight=False, soft_wrap=True)


@app.command()
def withdraw(
    rows: Annotated[list[str], typer.Argument(help="Ids of seed rows.")],
    profile: ProfileOption = None,
    reason: Annotated[str, typer.Option(help="Kept with the withdrawal.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what the rows reached.")] = False,
) -> None:
    """Take seed rows out: list what they reached, and have the next run make exactly that again without them.

    Example: nomad-assets withdraw 0a1b2c3d4e5f6071 --dry-run
    """
    from nomad_assets.withdrawal import reach
    from nomad_assets.withdrawal import withdraw as mark

    with _errors():
        store = _store(profile)
        reached = reach(store, rows) if dry_run else mark(store, rows, reason)
    for row in reached.iter_rows(named=True):
        state = "current" if row["current"] else "pruned" if row["pruned"] else "superseded"
        print(f"{state:<10} {row['artifact_id']}")
    current, old = reached["current"].sum(), (~reached["current"] & ~reached["pruned"]).sum()
    done = "would be made again" if dry_run else "will be made again by the next run"
    console.print(f"{current} current artifacts {done}.", highlight=False)
    if not dry_run:
        console.print(
            "Delete the rows in the source too. After the next run, `nomad-assets prune` removes the "
            f"{current + old} versions on disk that were made with them.", highlight=False, soft_wrap=True,
        )  # fmt: skip


@app.command()
def prune(
    profile: ProfileOption = None,
    keep: Annotated[int, typer.Option(help="Versions of each artifact to keep, the current one included.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
) -> None:
    """Remove superseded versions and staging leftovers; lineage still answers for them.

    Example: nomad-assets prune --keep 2 --dry-run
    """
    from nomad_assets.profile import load_profile
    from nomad_assets.retention import prune as remove

    with _errors():
        store = _store(profile)
        found = remove(store, load_profile(profile), keep, dry_run)
    for leftover in found:
        print(f"{leftover.size / 2**20:10.1f} MiB  {leftover.what:<18} {leftover.path.relative_to(store.root)}")
    console.print(
        f"{len(found)} {'would be ' if dry_run else ''}removed, {sum(x.size for x in found) / 2**20:.1f} MiB",
        highlight=False,
    )


def _store(profile: str | None):
    from nomad_assets.profile import load_profile
    from nomad_assets.storage import Store

    return Store.of(load_profile(profile))


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class _errors:
    """Prints a NomadError, or what a disk or a permission refused, as its message and exits with 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, NomadError | OSError):
            console.print(f"[red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
        database = sys.modules.get("sqlalchemy.exc")
        if database and isinstance(error, database.OperationalError):
            text = (
                f"Dagster could not write to its storage in {os.environ.get('DAGSTER_HOME')}: {error.orig}; run again"
            )
            console.print(f"[red]error[/] {escape(text)}", highlight=False, soft_wrap=True)
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
