"""The grid of a profile: cells, arms, and their partition keys.

Worked example: replicates = 2 and prompt_loss = {masked = 0.0, unmasked = 1.0} give the arms masked-s0, masked-s1,
unmasked-s0 and unmasked-s1. The cell (64, unmasked-s1) has the partition key "unmasked-s1|64" and the path
64/unmasked-s1.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

import dagster as dg

from nomad_assets.errors import NomadError
from nomad_assets.profile import Profile


@dataclass(frozen=True)
class Cell:
    """A place in the grid: a train size, and an arm where the asset has one. Neither for unpartitioned assets."""

    train_size: int | None = None
    arm: str | None = None

    @property
    def path(self) -> PurePosixPath:
        parts = [str(part) for part in (self.train_size, self.arm) if part is not None]
        return PurePosixPath(*parts)

    @property
    def label(self) -> str:
        """`64/unmasked`, `64`, or `-` for an unpartitioned asset."""
        return "-" if self.train_size is None else str(self.path)

    @property
    def partition_key(self) -> "str | dg.MultiPartitionKey | None":
        if self.train_size is None:
            return None
        if self.arm is None:
            return str(self.train_size)
        return dg.MultiPartitionKey({"train_size": str(self.train_size), "arm": self.arm})


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
        replicates = profile.grid.replicates
        self.arms: dict[str, Arm] = {
            name if replicates == 1 else f"{name}-s{replicate}": Arm(name, weight, replicate)
            for name, weight in profile.grid.prompt_loss.items()
            for replicate in range(replicates)
        }
        self.by_size = dg.StaticPartitionsDefinition([str(size) for size in self.train_sizes])
        self.by_arm = dg.StaticPartitionsDefinition(list(self.arms))
        self.by_cell = dg.MultiPartitionsDefinition({"train_size": self.by_size, "arm": self.by_arm})

    @property
    def sizes(self) -> list[Cell]:
        return [Cell(size) for size in self.train_sizes]

    @property
    def cells(self) -> list[Cell]:
        return [Cell(size, arm) for size in self.train_sizes for arm in self.arms]

    def partitions(self, kind: str) -> dg.PartitionsDefinition | None:
        return {"none": None, "size": self.by_size, "cell": self.by_cell}[kind]

    def members(self, kind: str) -> list[Cell]:
        return {"none": [Cell()], "size": self.sizes, "cell": self.cells}[kind]

    def cell_of(self, partition_key: str | None) -> Cell:
        """The cell of a Dagster partition key (`arm|train_size`, `train_size` or None)."""
        if partition_key is None:
            return Cell()
        if "|" in partition_key:
            keys = self.by_cell.get_partition_key_from_str(partition_key).keys_by_dimension
            return Cell(int(keys["train_size"]), keys["arm"])
        return Cell(int(partition_key))

    def parse(self, text: str) -> Cell:
        """The cell a user wrote as `64/unmasked`.

        Raises NomadError naming what is accepted when the size or the arm is unknown.
        """
        size, _, arm = text.partition("/")
        if not size.isdecimal() or int(size) not in self.train_sizes:
            known = ", ".join(str(s) for s in self.train_sizes)
            raise NomadError(f"cell {text!r}: unknown train size {size!r}; this profile has {known}")
        if arm not in self.arms:
            raise NomadError(f"cell {text!r}: unknown arm {arm!r}; this profile has {', '.join(self.arms)}")
        return Cell(int(size), arm)
