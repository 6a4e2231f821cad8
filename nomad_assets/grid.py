"""The grid of a profile: its cells and arms, and the steps that run in them.

Worked example: train_sizes = [64], replicates = 2 and prompt_loss = {masked = 0.0, unmasked = 1.0} give the cells
64/masked, 64/unmasked, 64-s1/masked and 64-s1/unmasked, whole replicates one after the other. The first replicate has the
plain name, so that artifacts keep their places when replicates are added. `[grid.selections.high]` adds 64/unmasked@high beside
64/unmasked, and `controls.gold` adds 64@gold beside 64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nomad_assets.cells import VARIANT, Cell, Over
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, shown
from nomad_assets.profile.grid_settings import SHUFFLED
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Synthesis, Training
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.steps import GRAPH


@dataclass(frozen=True)
class Arm:
    """How a teacher is made and writes."""

    prompt_loss: float | None
    """Weight of the loss on the prompt; None where the teacher is the untouched base model."""
    shots: int
    """Seed examples that the untouched model has in context."""
    teacher: Training | None
    """None where the teacher is the untouched base model."""
    synthesis: Synthesis


class Grid:
    """One profile's grid."""

    def __init__(self, profile: Profile, graph: Graph = GRAPH):
        self.profile, self.graph = profile, graph
        self.train_sizes = list(profile.grid.train_sizes)
        self.arms: dict[str, Arm] = {
            name: Arm(arm.prompt_loss, arm.shots, profile.teacher_of(name), profile.synthesis_of(name))
            for name, arm in profile.grid.all_arms().items()
        }
        replicates = range(profile.grid.most_replicates)
        sizes = [Cell(size, None, replicate) for replicate in replicates for size in self.train_sizes]
        cells = [Cell(size.train_size, arm, size.replicate) for size in sizes for arm in self.arms]
        self.controls = profile.controls.names()
        """Those beside seeds alone for as many steps."""
        self.selections = [*profile.grid.selections, *([SHUFFLED] if profile.controls.shuffled else [])]
        """Those beside the one that `[curation]` makes."""
        self._members = {
            Over.GRID: [Cell()], Over.SIZES: sizes, Over.CELLS: cells,
            Over.CONTROLS: [replace(size, variant=name) for size in sizes for name in (None, *self.controls)],
            Over.SELECTIONS: [replace(cell, variant=name) for cell in cells for name in (None, *self.selections)],
        }  # fmt: skip
        self._labels = {cell.label: cell for members in self._members.values() for cell in members}

    @property
    def cells(self) -> list[Cell]:
        return self.members(Over.CELLS)

    @property
    def sizes(self) -> list[Cell]:
        return self.members(Over.SIZES)

    def members(self, over: Over) -> list[Cell]:
        return self._members[over]

    def places(self, step: Step, cell: Cell) -> list[tuple[str, Cell]]:
        found = self.graph.places(step.name, cell, self._members)
        read = {name: needed.when is None or needed.when(self, cell) for name, needed in step.inputs.items()}
        return [place for place in found if read[place[0]]]

    def all_places(self) -> list[tuple[Step, Cell]]:
        """Every step in every cell, parents before children; without those that are made only where they are asked for."""
        return [(step, cell) for step in self.graph.values() if not step.asked for cell in self.members(step.over)]

    def asked_places(self) -> list[tuple[Step, Cell]]:
        """The others."""
        return [(step, cell) for step in self.graph.values() if step.asked for cell in self.members(step.over)]

    def wanted(self, until: str | None) -> set[str]:
        """What a run makes: `until` and everything that some cell reads for it, or all but what has to be asked for.

        Raises KeyError on an unknown name.
        """
        if until is None:
            return {step.name for step in self.graph.values() if not step.asked}
        step = self.graph[until]
        read = [
            name for name, needed in step.inputs.items()
            if needed.when is None or any(needed.when(self, cell) for cell in self.members(step.over))
        ]  # fmt: skip
        return {until}.union(*(self.wanted(name) for name in read))

    def comes_to(self, over: Over, place: Cell, cell: Cell) -> bool:
        """Whether what is made for `over` in a place belongs to a run of a cell: it lies in the cell, or is read there."""
        return cell.covers(place) or place == cell.at(over)

    def seed(self, step: str, cell: Cell) -> int:
        """The seed of a step's random choices. Arms, selections and controls of one size and replicate share it, so that they
        differ in nothing else."""
        place = "-" if cell == Cell() else f"{cell.train_size}/replicate {cell.replicate}"
        return derive_seed(self.profile.seed, step, place)

    def seed_of_replicate(self, purpose: str, replicate: int) -> int:
        """The seed of what all sizes of a replicate share."""
        return derive_seed(self.profile.seed, purpose, f"replicate {replicate}")

    def parse(self, text: str) -> Cell:
        """The cell a user wrote as `64/unmasked`, or a selection or control of this grid, `64/unmasked@high` or `64@gold`.

        Raises NomadError naming what is accepted when a part of it is unknown.
        """
        cell = self.place(text)
        if cell.arm is None and cell.variant is None:
            raise NomadError(f"cell {shown(text)}: unknown arm ''; this profile has {', '.join(self.arms)}")
        return cell

    def place(self, text: str) -> Cell:
        """The cell of a label such as `64/unmasked`, `64` or `-`.

        Raises NomadError naming what is accepted when this grid has no such place.
        """
        if text in self._labels:
            return self._labels[text]
        place, _, variant = text.partition(VARIANT)
        size, _, arm = place.partition("/")
        if size not in self._labels:
            raise NomadError(
                f"cell {shown(text)}: unknown train size {shown(size)}; this profile has {', '.join(map(str, self.train_sizes))}"
            )
        if "/" in text and arm not in self.arms:
            raise NomadError(f"cell {shown(text)}: unknown arm {shown(arm)}; this profile has {', '.join(self.arms)}")
        what, known = ("selection", self.selections) if arm else ("control", self.controls)
        raise NomadError(
            f"cell {shown(text)}: unknown {what} {shown(variant)}; this profile has {', '.join(known) or 'none'}"
        )

    def labels(self, cell: Cell) -> Mapping[str, object]:
        """train_size, replicate, arm, variant and prompt_loss (its weight) of a cell; None where it has none."""
        arm = self.arms.get(cell.arm) if cell.arm else None
        return {
            "train_size": cell.train_size, "replicate": None if cell == Cell() else cell.replicate, "arm": cell.arm,
            "variant": cell.variant, "prompt_loss": arm.prompt_loss if arm else None,
        }  # fmt: skip
