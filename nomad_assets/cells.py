"""Places in the grid, and what an asset is made once for."""

import enum
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

SIZE = re.compile(r"(\d+)(?:-s([1-9]\d*))?")
VARIANT = "@"


class Over(enum.Enum):
    """What an asset is made once for: the whole grid, each train size of each replicate, each control of these, each cell, or
    each selection of a cell's rows."""

    GRID = "grid"
    SIZES = "size"
    CONTROLS = "control"
    CELLS = "cell"
    SELECTIONS = "selection"


@dataclass(frozen=True)
class Cell:
    """A place in the grid: a train size and a replicate, and an arm where the asset has one. None of them for
    unpartitioned assets."""

    train_size: int | None = None
    arm: str | None = None
    replicate: int = 0
    variant: str | None = None
    """With an arm the selection of its rows, without one the control. None is the selection that `[curation]` makes, and the
    control of seeds alone: what there always is costs no name."""

    @property
    def size_label(self) -> str:
        """`64`, or `64-s1` in replicate 1: the first replicate has the plain name, however many there are."""
        return f"{self.train_size}-s{self.replicate}" if self.replicate else str(self.train_size)

    @property
    def last_label(self) -> str:
        """`unmasked@high` of a selection, `64@gold` of a control; without a variant the arm or the size alone."""
        return VARIANT.join(filter(None, [self.arm or self.size_label, self.variant]))

    @property
    def path(self) -> PurePosixPath:
        if self.train_size is None:
            return PurePosixPath()
        return PurePosixPath(*([self.size_label] if self.arm else []), self.last_label)

    @classmethod
    def of_label(cls, label: str) -> "Cell":
        """The cell of a label as manifests have it; it need not be one of a profile's grid.

        Raises ValueError when no cell has such a label.
        """
        if label == "-":
            return cls()
        place, _, variant = label.partition(VARIANT)
        size, _, arm = place.partition("/")
        match = SIZE.fullmatch(size)
        if match is None:
            raise ValueError(f"{label!r} is no label of a cell")
        return cls(int(match[1]), arm or None, int(match[2] or 0), variant or None)

    @property
    def label(self) -> str:
        """`64/unmasked`, `64-s1/unmasked@high`, `64`, `64@gold`, or `-` for an unpartitioned asset."""
        return "-" if self.train_size is None else str(self.path)

    def at(self, over: Over) -> "Cell":
        """This cell's place among what a coarser asset is made for: 64/unmasked@high reads the corpus of 64/unmasked, the
        subset of 64 and the control of seeds alone of 64."""
        if over is Over.GRID:
            return Cell()
        if over is Over.SIZES or (over is Over.CONTROLS and self.arm):
            return replace(self, arm=None, variant=None)
        return replace(self, variant=None) if over is Over.CELLS else self

    def covers(self, other: "Cell") -> bool:
        """Whether the other cell is this one or lies in it: 64-s1 covers 64-s1/unmasked, the whole grid everything."""
        if self in (Cell(), other):
            return True
        if self.variant is not None or (self.train_size, self.replicate) != (other.train_size, other.replicate):
            return False
        return self.arm in (None, other.arm)
