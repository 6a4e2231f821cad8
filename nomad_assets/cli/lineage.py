"""What was made from what: questions to the lineage database."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nomad_assets.cli.terminal import ProfileOption, console, errors, open_store, short

app = typer.Typer(help="What was made from what: the way back from any row, artifact or score.", no_args_is_help=True)


@app.command()
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

    with errors():
        store = open_store(profile)
        with reading(store) as connection:
            found = find(connection, store, reference)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(draw(found))


@app.command()
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

    with errors():
        table = ask(open_store(profile), query)
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


@app.command()
def sync(
    profile: ProfileOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="From nothing, in place of the old file.")] = False,
) -> None:
    """Bring the lineage database up to date, which every reader does by itself.

    Example: nomad-assets lineage sync --rebuild
    """
    from nomad_assets.lineage import sync as lineage

    with errors():
        store = open_store(profile)
        count = lineage.rebuild(store) if rebuild else lineage.sync(store)
    console.print(escape(f"{count} artifacts read into {short(store.database)}"), highlight=False, soft_wrap=True)
