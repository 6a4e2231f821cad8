"""A place in the grid."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


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

    @property
    def partition_key(self) -> "str | dg.MultiPartitionKey | None":
        if self.train_size is None:
            return None
        if self.arm is None:
            return str(self.train_size)
        import dagster as dg

        return dg.MultiPartitionKey({"train_size": str(self.train_size), "arm": self.arm})
