"""The smoke profile in a folder of its own, and running it as `nomad-assets run` does."""

from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine import runner
from nomad_assets.engine.listeners import Run
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.store.home import store_of
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.runs import Order, run_grid

ROOT = Path(__file__).parents[1]
SMOKE = (ROOT / "nomad_assets/profile/shipped/smoke.toml").read_text(encoding="utf-8")
SHORT = {"epochs": "epochs = 1"}
"""For tests that do not look at what a model learned."""


def write_profile(folder: Path, **changes: str) -> Path:
    """The smoke profile with lines replaced: `write_profile(tmp, keep="keep = 3")`."""
    lines = []
    for line in SMOKE.splitlines():
        key = line.split("=")[0].strip()
        lines.append(changes.get(key, line))
    path = folder / "own.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(
    profile: Path, *, cells: list[str] | None = None, until: str | None = None, force: bool = False, **order
) -> tuple[list[str], list[str]]:
    """(failures, what was said)."""
    said: list[str] = []
    return run_grid(str(profile), Order(cells or [], until, force, **order), said.append), said


def made(grid: Grid, store: Store, *until: str, cell: Cell | None = None) -> set[str]:
    """Make these assets and what they need, of one cell or of all, without Dagster; the places that were not reused."""
    needed = set(until).union(*(grid.graph.ancestors(name) for name in until))
    within = Run("5a0ce5b2-0000-4000-8000-000000000000", "test")
    wanted = [(step, place) for step, place in grid.all_places() if step.name in needed]
    results = {
        f"{step.name} [{place.label}]": runner.run(step, place, grid, store, [], within)
        for step, place in wanted
        if cell is None or place.covers(cell)
    }
    return {place for place, result in results.items() if isinstance(result, runner.Made)}


def opened(profile: Path) -> tuple[Grid, Store]:
    """The grid of a profile's file, and its store."""
    loaded = load_profile(str(profile))
    return Grid(loaded), store_of(loaded.name)


def enter_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dagster instance of its own, configured as the project's, in a working directory of its own."""
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("NOMAD_HOME", str(home / "lake"))
    monkeypatch.chdir(home)
    return home
