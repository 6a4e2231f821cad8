"""Where a grid's replicates end: the looks at its answer, from what is stored."""

from nomad_assets.cells import Cell
from nomad_assets.engine.inputs import Inputs
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.recipe.evaluation.looks import Taken, looks_taken
from nomad_assets.recipe.report.comparisons import RIVALS
from nomad_assets.steps.report import results_of
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

READ = ("student_scores", "control_scores", "benchmark_questions")


def taken(grid: Grid, store: Store) -> list[Taken]:
    """The looks that what is stored allows, up to the one that ends the replicates; none where the profile wants none."""
    plan, step = grid.profile.grid.looks, grid.graph.get("recipe_report")
    if plan is None or step is None:
        return []
    places = [place for place in grid.places(step, Cell()) if place[0] in READ]
    found = {place: artifact for place in places if (artifact := _readable(store, place)) is not None}
    if not any(name == "student_scores" for name, _ in found):
        return []
    config = step.config.of(grid, Cell(), {})
    try:
        results = results_of(config, Inputs(step, grid.graph, config, found, places))
    except NomadError:
        return []  # damaged: those say so who need it
    return looks_taken(results, plan.start, plan.most, RIVALS)


def _readable(store: Store, place: tuple[str, Cell]) -> Artifact | None:
    try:
        return store.current(*place)
    except NomadError:
        return None


def settled(grid: Grid, store: Store) -> Taken | None:
    """The look after which no further replicate is made; None while the answer is open."""
    looks = taken(grid, store)
    return looks[-1] if looks and looks[-1].ends else None


class Looking:
    """A run's looks, one a turn, since what was made before a turn is whole when its first place comes."""

    def __init__(self, grid: Grid, store: Store):
        self.grid, self.store = grid, store
        self._found: dict[int, Taken | None] = {}

    def ended_before(self, cell: Cell) -> Taken | None:
        """The look that makes a place's replicate unnecessary; None where it has to be made."""
        if (now := turn(self.grid, cell)) == 0:
            return None
        if now not in self._found:
            self._found[now] = settled(self.grid, self.store)
        found = self._found[now]
        return found if found is not None and cell.replicate >= found.look.replicates else None


def turn(grid: Grid, cell: Cell) -> int:
    """When a place's turn comes: 0 before the first look, then one after each."""
    plan = grid.profile.grid.looks
    return 0 if plan is None else max(0, cell.replicate - plan.start + 1)
