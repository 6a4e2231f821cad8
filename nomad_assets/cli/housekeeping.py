"""Taking seed rows out, and removing what is superseded."""

from typing import Annotated

import typer

from nomad_assets.cli.terminal import ProfileOption, console, errors, open_store


def withdraw(
    rows: Annotated[list[str], typer.Argument(help="Ids of seed rows.")],
    profile: ProfileOption = None,
    reason: Annotated[str, typer.Option(help="Kept with the withdrawal.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what the rows reached.")] = False,
) -> None:
    """Take seed rows out: list what they reached, and have the next run make exactly that again without them.

    Example: nomad-assets withdraw 0a1b2c3d4e5f6071 --dry-run
    """
    from nomad_assets.lineage.withdrawal import reach
    from nomad_assets.lineage.withdrawal import withdraw as mark

    with errors():
        store = open_store(profile)
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


def prune(
    profile: ProfileOption = None,
    keep: Annotated[int, typer.Option(help="Versions of each artifact to keep, the current one included.")] = 1,
    outside: Annotated[
        bool, typer.Option("--outside", help="Also remove what the profile's grid does not have any more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
) -> None:
    """Remove superseded versions and staging leftovers; lineage still answers for them.

    Artifacts of sizes, arms or assets that left the profile are listed, and stay without --outside.

    Example: nomad-assets prune --keep 2 --dry-run
    """
    with errors():
        from nomad_assets.lineage.retention import prune as remove
        from nomad_assets.opening import open_grid

        grid, store = open_grid(profile)
        found = remove(grid, store, keep, dry_run, outside)
    for leftover in found:
        stays = "" if leftover.removed else "  (stays; --outside removes it)"
        print(f"{leftover.size / 2**20:10.1f} MiB  {leftover.what:<18} {leftover.place}{stays}")
    gone = [leftover for leftover in found if leftover.removed]
    console.print(
        f"{len(gone)} {'would be ' if dry_run else ''}removed, {sum(x.size for x in gone) / 2**20:.1f} MiB",
        highlight=False,
    )
