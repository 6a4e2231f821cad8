"""Places in the grid, and what an asset is made once for."""

import enum
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

SIZE = re.compile(r"(\d+)(?:-s([1-9]\d*))?")


class Over(enum.Enum):
    """What an asset is made once for: the whole grid, each train size of each replicate, or each cell."""

    GRID = "grid"
    SIZES = "size"
    CELLS = "cell"


@dataclass(frozen=True)
class Cell:
    """A place in the grid: a train size and a replicate, and an arm where the asset has one. None of them for
    unpartitioned assets."""

    train_size: int | None = None
    arm: str | None = None
    replicate: int = 0

    @property
    def size_label(self) -> str:
        """`64`, or `64-s1` in replicate 1: the first replicate has the plain name, however many there are."""
        return f"{self.train_size}-s{self.replicate}" if self.replicate else str(self.train_size)

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(*([] if self.train_size is None else [self.size_label]), *filter(None, [self.arm]))

    @classmethod
    def of_label(cls, label: str) -> "Cell":
        """The cell of a label as manifests have it; it need not be one of a profile's grid.

        Raises ValueError when no cell has such a label.
        """
        if label == "-":
            return cls()
        size, _, arm = label.partition("/")
        match = SIZE.fullmatch(size)
        if match is None:
            raise ValueError(f"{label!r} is no label of a cell")
        return cls(int(match[1]), arm or None, int(match[2] or 0))

    @property
    def label(self) -> str:
        """`64/unmasked`, `64-s1/unmasked`, `64`, or `-` for an unpartitioned asset."""
        return "-" if self.train_size is None else str(self.path)

    def covers(self, other: "Cell") -> bool:
        """Whether the other cell is this one or lies in it: 64-s1 covers 64-s1/unmasked, the whole grid everything."""
        if self in (Cell(), other):
            return True
        return self.arm is None and (self.train_size, self.replicate) == (other.train_size, other.replicate)
