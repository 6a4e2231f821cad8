"""Grids for tests of lineage, and running one without Dagster."""

from pathlib import Path

from nomad_assets.engine.listeners import Run
from nomad_assets.engine.runner import Made, run
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.store.protocol import Store


def grid_of(sizes: list[int], arms: list[str]) -> Grid:
    """The smoke profile's grid, of other sizes and arms."""
    profile = load_profile("smoke")
    changed = {"train_sizes": sizes, "prompt_loss": {arm: float(number) for number, arm in enumerate(arms)}}
    return Grid(profile.model_copy(update={"grid": profile.grid.model_copy(update=changed)}))


def short_grid(base_model: Path) -> Grid:
    """Sizes 8 and 16 of one arm, on a base model that does not depend on the seeds."""
    profile = load_profile("smoke")
    parts = {
        "grid": {"prompt_loss": {"unmasked": 1.0}}, "base_model": {"source": str(base_model)},
        "teacher": {"epochs": 12.0}, "student": {"epochs": 1.0}, "synthesis": {"target": 4, "max_attempts": 16},
        "evaluation": {"bootstrap": 100},
    }  # fmt: skip
    return Grid(profile.model_copy(update={n: getattr(profile, n).model_copy(update=u) for n, u in parts.items()}))


def run_all(grid: Grid, store: Store) -> set[str]:
    """Run every step in every cell; the places where something was made."""
    within, made = Run("run", "everything"), set()
    for step, cell in grid.all_places():
        if isinstance(run(step, cell, grid, store, [], within), Made):
            made.add(f"{step.name}/{cell.label}" if cell.label != "-" else step.name)
    return made
