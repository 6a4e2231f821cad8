"""Whether synthetic data can help at all, from a terminal, before any teacher is trained."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from nomad_assets.cli.grid import run
from nomad_assets.cli.terminal import ProfileOption, errors, note, short

if TYPE_CHECKING:
    from nomad_assets.profile.profile import Profile


def headroom(
    profile: ProfileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be made, and how long it will take.")
    ] = False,
) -> None:
    """Find out with gold rows alone whether synthetic data can help: worth trying, or do not bother.

    Trains small models on more and more seed examples and on some with wrong answers, and lets sampled answers vote, all on the
    dev questions. What is unchanged is reused, what was interrupted goes on.

    Example: nomad-assets headroom --dry-run
    """
    from nomad_assets.cells import Cell
    from nomad_assets.opening import open_grid
    from nomad_assets.steps.headroom import HEADROOM_HTML, HEADROOM_MARKDOWN, asked_benchmarks, headroom_report

    with errors():
        grid, store = open_grid(profile)
        asked = asked_benchmarks(grid.profile)
        note(_cost(grid.profile, list(asked)))
    run(profile, until=headroom_report.name, dry_run=dry_run, force=False)
    if dry_run:
        return
    with errors():
        artifact = store.require(headroom_report.name, Cell())
        text = (artifact / HEADROOM_MARKDOWN.name).read_text(encoding="utf-8")
        out = Console()
        if out.is_terminal:
            out.print(Markdown(text))
        else:
            print(text, flush=True)
    note(f"HTML: {short(artifact / HEADROOM_HTML.name)}")


def _cost(profile: "Profile", asked: list[str]) -> str:
    """What is ahead, in models and answers; how long it takes, only measuring tells."""
    from nomad_assets.recipe.report.formatting import counted

    settings = profile.headroom
    sizes = settings.sizes if settings.sizes is not None else [0, 1, 2, 3]
    trained = settings.replicates * (sum(size > 0 for size in sizes) + len(settings.wrong))
    return (
        f"{trained} models to train ({counted(settings.replicates, 'replicate')}), each asked at most {settings.questions} dev questions of "
        f"{', '.join(asked)}, {settings.answers} sampled answers a question in each replicate; --dry-run says how long that takes"
    )
