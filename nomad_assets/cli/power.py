"""What a grid can show, and what it would take to show more."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nomad_assets.cli.terminal import ProfileOption, console, duration, errors, note, short
from nomad_assets.errors import NomadError


def power(
    profile: ProfileOption = None,
    effect: Annotated[
        float | None,
        typer.Option(min=0.1, max=100, help="Points that are to be shown: how many replicates that takes."),
    ] = None,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Chance of a wrong verdict, two-sided.")] = 0.05,
    chance: Annotated[
        float, typer.Option("--power", min=0.5, max=0.999, help="Chance that a true difference is shown.")
    ] = 0.8,
    plot: Annotated[Path | None, typer.Option(help="Draw it too, into this .svg file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """Say which differences questions and replicates can show, and what they take here.

    Example: nomad-assets power --effect 5
    """
    with errors(), console.status("looking at what there is"):
        from nomad_assets.first_steps.planning import QUESTIONS, REPLICATES, planned
        from nomad_assets.opening import open_grid

        if alpha >= chance:
            raise NomadError(
                f"--alpha {alpha:g} and --power {chance:g}: the chance to show a difference is above that of an error"
            )
        if plot is not None and plot.suffix != ".svg":
            raise NomadError(f"--plot {plot}: give a file that ends in .svg")
        found = planned(*open_grid(profile))
        questions = sorted({*QUESTIONS, *([found.questions] if found.questions and found.questions > 1 else [])})
        replicates = sorted({*REPLICATES, *([found.replicates] if found.replicates > 1 else [])})
        effects = {(q, r): found.effect(q, r, alpha, chance) for q in questions for r in replicates}
        enough = None if effect is None else _enough(found, questions, effect / 100, alpha, chance)
    if as_json:
        print(json.dumps(_record(found, effects, enough), indent=1))
        return
    _show(found, questions, replicates, effects, enough, effect, alpha, chance)
    if plot is not None:
        with errors():
            import polars as pl

            from nomad_assets.recipe.report import plots

            rows = [{"questions": q, "replicates": r, "effect": value} for (q, r), value in effects.items()]
            plot.write_text(plots.svg(plots.smallest_effects(pl.DataFrame(rows))), encoding="utf-8")
        note(f"drawn: {short(plot)}")


MOST_REPLICATES = 200


def _enough(found, questions: list[int], effect: float, alpha: float, chance: float) -> dict[int, int | None]:
    """Number of questions -> fewest replicates, from those that a verdict takes on, that show the effect; None where no number does."""
    from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES

    counts = range(FEWEST_REPLICATES, MOST_REPLICATES + 1)
    return {q: next((r for r in counts if found.effect(q, r, alpha, chance) <= effect), None) for q in questions}


def _show(found, questions, replicates, effects, enough, effect, alpha, chance) -> None:
    out = Console()

    def say(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"smallest difference, in points, that is shown with {chance:.0%} power at a two-sided {alpha:g}:")
    table = Table("questions", *(f"{r} replicates" for r in replicates), box=None, pad_edge=False)
    for q in questions:
        own = " (here)" if q == found.questions else ""
        table.add_row(f"{q}{own}", *(f"{100 * effects[q, r]:.1f}" for r in replicates))
    if found.seconds_per_replicate is not None:
        table.add_row("takes here", *(duration(r * found.seconds_per_replicate) for r in replicates))
    out.print(table)
    source = (
        f"a pilot of {found.pilot} replicates in this store"
        if found.pilot
        else "defaults, since this store has no replicates of students and controls"
    )
    v = found.variances
    say(
        f"deviations of a difference, in points: runs {100 * v.run:.1f}, questions {100 * v.question:.1f}, single answers {100 * v.residual:.1f} ({source})"
    )
    if found.seconds_per_replicate is None:
        say("what a replicate takes here is not known before one has run; nomad-assets run --dry-run estimates it")
    say(
        "questions that share a template count once (benchmarks.*.cluster); a grid has sizes and arms, and each is compared so"
    )
    if enough is not None:
        for q, r in enough.items():
            words = f"{r} replicates" if r else f"more than {MOST_REPLICATES} replicates"
            say(
                f"{effect:g} points with {q} questions: {words}"
                + (f", about {duration(r * found.seconds_per_replicate)}" if r and found.seconds_per_replicate else "")
            )


def _record(found, effects: dict, enough: dict | None) -> dict:
    return {
        "replicates": found.replicates, "questions": found.questions, "pilot_replicates": found.pilot,
        "deviations": vars(found.variances), "seconds_per_replicate": found.seconds_per_replicate,
        "smallest_effects": [{"questions": q, "replicates": r, "effect": value} for (q, r), value in effects.items()],
        "replicates_for_effect": enough,
    }  # fmt: skip
