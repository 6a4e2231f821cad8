"""The grid of a profile: cells, arms, and their partition keys.

Worked example: replicates = 2 and prompt_loss = {masked = 0.0, unmasked = 1.0} give the arms masked-s0, masked-s1,
unmasked-s0 and unmasked-s1. The cell (64, unmasked-s1) has the partition key "unmasked-s1|64" and the path
64/unmasked-s1.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError, shown
from nomad_assets.profile.sections import Profile

if TYPE_CHECKING:
    # Imported where it is used: reading a store must not wait for Dagster.
    import dagster as dg


@dataclass(frozen=True)
class Arm:
    """A prompt loss (its name in the profile and its weight) and a replicate index."""

    prompt_loss: str
    weight: float
    replicate: int


class Grid:
    """Partition definitions and cells of one profile."""

    def __init__(self, profile: Profile):
        self.train_sizes = list(profile.grid.train_sizes)
        self._size_names = {str(size): size for size in self.train_sizes}
        replicates = profile.grid.replicates
        self.arms: dict[str, Arm] = {
            name if replicates == 1 else f"{name}-s{replicate}": Arm(name, weight, replicate)
            for name, weight in profile.grid.prompt_loss.items()
            for replicate in range(replicates)
        }

    @functools.cached_property
    def by_size(self) -> "dg.StaticPartitionsDefinition":
        import dagster as dg

        return dg.StaticPartitionsDefinition([str(size) for size in self.train_sizes])

    @functools.cached_property
    def by_cell(self) -> "dg.MultiPartitionsDefinition":
        import dagster as dg

        by_arm = dg.StaticPartitionsDefinition(list(self.arms))
        return dg.MultiPartitionsDefinition({"train_size": self.by_size, "arm": by_arm})

    @property
    def sizes(self) -> list[Cell]:
        return [Cell(size) for size in self.train_sizes]

    @property
    def cells(self) -> list[Cell]:
        return [Cell(size, arm) for size in self.train_sizes for arm in self.arms]

    def partitions(self, kind: str) -> "dg.PartitionsDefinition | None":
        return None if kind == "none" else self.by_size if kind == "size" else self.by_cell

    def members(self, kind: str) -> list[Cell]:
        return {"none": [Cell()], "size": self.sizes, "cell": self.cells}[kind]

    def cell_of(self, partition_key: str | None) -> Cell:
        """The cell of a Dagster partition key (`arm|train_size`, `train_size` or None).

        Raises NomadError when this profile's grid has no such cell.
        """
        if partition_key is None:
            return Cell()
        arm, mark, size = partition_key.rpartition("|")
        if size not in self._size_names or (mark and arm not in self.arms):
            raise NomadError(
                f"partition {shown(partition_key)}: not in this profile's grid: sizes {', '.join(self._size_names)}, arms {', '.join(self.arms)}"
            )
        return Cell(self._size_names[size], arm if mark else None)

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
