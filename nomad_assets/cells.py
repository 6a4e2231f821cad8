"""Places in the grid, and what an asset is made once for."""

import enum
from dataclasses import dataclass
from pathlib import PurePosixPath


class Over(enum.Enum):
    """What an asset is made once for: the whole grid, each train size, or each cell."""

    GRID = "grid"
    SIZES = "size"
    CELLS = "cell"


@dataclass(frozen=True)
class Cell:
    """A place in the grid: a train size, and an arm where the asset has one. Neither for unpartitioned assets."""

    train_size: int | None = None
    arm: str | None = None

    @property
    def path(self) -> PurePosixPath:
        parts = [str(part) for part in (self.train_size, self.arm) if part is not None]
        return PurePosixPath(*parts)

    @classmethod
    def of_label(cls, label: str) -> "Cell":
        """The cell of a label as manifests have it; it need not be one of a profile's grid."""
        size, _, arm = label.partition("/")
        return cls() if size == "-" else cls(int(size), arm or None)

    @property
    def label(self) -> str:
        """`64/unmasked`, `64`, or `-` for an unpartitioned asset."""
        return "-" if self.train_size is None else str(self.path)

    def covers(self, other: "Cell") -> bool:
        """Whether the other cell is this one or lies in it: size 64 covers 64/unmasked, the whole grid everything."""
        return (
            self in (Cell(), other) or (self.arm is None and self.train_size == other.train_size)
        )  # fmt: skip
