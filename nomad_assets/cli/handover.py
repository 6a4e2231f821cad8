"""Handing a cell on: its corpus and its student as folders for other tools, and to a hub."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from nomad_assets.cli.terminal import ProfileOption, console, errors, short


def export(
    cell: Annotated[str, typer.Argument(help="The cell, such as 64/unmasked.")],
    folder: Annotated[Path, typer.Argument(help="Where to write.")],
    profile: ProfileOption = None,
    only: Annotated[Literal["dataset", "student"] | None, typer.Option(help="Export only this part.")] = None,
    gguf: Annotated[bool, typer.Option("--gguf", help="The student as GGUF too, with llama.cpp's converter.")] = False,
    push: Annotated[
        str | None, typer.Option(help="Upload to hf://owner/name: the data set and the model of that name.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of what an earlier export left there.")] = False,
    public: Annotated[bool, typer.Option("--public", help="New repositories are public; else private.")] = False,
) -> None:
    """Write a cell's corpus and student, each with a card, for `datasets`, transformers, vLLM and the hub.

    Example: nomad-assets export 64/unmasked out --push hf://my-name/my-corpus
    """
    from nomad_assets.errors import NomadError
    from nomad_assets.integrations.export import PARTS, export, repository
    from nomad_assets.integrations.export import push as upload
    from nomad_assets.profile.load import load_profile
    from nomad_assets.stopping import ending_by_exit

    with errors(), ending_by_exit():
        if push:
            repository(push)  # before anything is written
        parts = PARTS if only is None else (only,)
        if gguf and "student" not in parts:
            raise typer.BadParameter("the student is what becomes a GGUF file", param_hint="--gguf")
        made = export(load_profile(profile), cell, folder, parts, gguf, replace)
        for path in made:
            print(short(path))
        if push:
            try:
                addresses = upload([path for path in made if path.is_dir()], push, private=not public)
            except NomadError as error:
                raise NomadError(f"{error} (what was written stays; repeat with --replace)") from error
            for address in addresses:
                console.print(escape(f"pushed to {address}"), highlight=False, soft_wrap=True)
