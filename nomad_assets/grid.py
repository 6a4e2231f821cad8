"""The grid of a profile: its cells and arms, and the steps that run in them.

Worked example: replicates = 2 and prompt_loss = {masked = 0.0, unmasked = 1.0} give the arms masked, masked-s1, unmasked and
unmasked-s1. The first replicate has the plain name, so that artifacts keep their places when replicates are added. The cell
(64, unmasked-s1) has the label 64/unmasked-s1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, shown
from nomad_assets.profile.sections import Profile
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.steps import GRAPH


@dataclass(frozen=True)
class Arm:
    """A prompt loss (its name in the profile and its weight) and a replicate index."""

    prompt_loss: str
    weight: float
    replicate: int


class Grid:
    """One profile's grid."""

    def __init__(self, profile: Profile, graph: Graph = GRAPH):
        self.profile, self.graph = profile, graph
        self.train_sizes = list(profile.grid.train_sizes)
        self._size_names = {str(size): size for size in self.train_sizes}
        self.arms: dict[str, Arm] = {
            name if replicate == 0 else f"{name}-s{replicate}": Arm(name, weight, replicate)
            for name, weight in profile.grid.prompt_loss.items()
            for replicate in range(profile.grid.replicates)
        }
        self._members = {
            Over.GRID: [Cell()],
            Over.SIZES: [Cell(size) for size in self.train_sizes],
            Over.CELLS: [Cell(size, arm) for size in self.train_sizes for arm in self.arms],
        }

    @property
    def cells(self) -> list[Cell]:
        return self.members(Over.CELLS)

    @property
    def sizes(self) -> list[Cell]:
        return self.members(Over.SIZES)

    def members(self, over: Over) -> list[Cell]:
        return self._members[over]

    def places(self, step: Step, cell: Cell) -> list[tuple[str, Cell]]:
        return self.graph.places(step.name, cell, self._members)

    def all_places(self) -> list[tuple[Step, Cell]]:
        """Every step in every cell, parents before children."""
        return [(step, cell) for step in self.graph.values() for cell in self.members(step.over)]

    def seed(self, step: str, cell: Cell) -> int:
        """The seed of a step's random choices. Arms of one replicate share it, so that they differ in the loss weight alone."""
        place = cell.label if cell.arm is None else f"{cell.train_size}/replicate {self.arms[cell.arm].replicate}"
        return derive_seed(self.profile.seed, step, place)

    def parse(self, text: str) -> Cell:
        """The cell a user wrote as `64/unmasked`.

        Raises NomadError naming what is accepted when the size or the arm is unknown.
        """
        size, _, arm = text.partition("/")
        if size not in self._size_names:
            raise NomadError(
                f"cell {shown(text)}: unknown train size {shown(size)}; this profile has {', '.join(self._size_names)}"
            )
        if arm not in self.arms:
            raise NomadError(f"cell {shown(text)}: unknown arm {shown(arm)}; this profile has {', '.join(self.arms)}")
        return Cell(self._size_names[size], arm)

    def place(self, text: str) -> Cell:
        """The cell of a label such as `64/unmasked`, `64` or `-`. Raises NomadError when this grid has no such place."""
        if text in ("-", ""):
            return Cell()
        if "/" in text:
            return self.parse(text)
        if text not in self._size_names:
            raise NomadError(f"cell {shown(text)}: unknown train size; this profile has {', '.join(self._size_names)}")
        return Cell(self._size_names[text])

    def labels(self, cell: Cell) -> Mapping[str, object]:
        """train_size, arm, prompt_loss, weight and replicate of a cell; None where it has none."""
        arm = self.arms.get(cell.arm) if cell.arm else None
        return {
            "train_size": cell.train_size, "arm": cell.arm, "prompt_loss": arm.prompt_loss if arm else None,
            "weight": arm.weight if arm else None, "replicate": arm.replicate if arm else None,
        }  # fmt: skip
