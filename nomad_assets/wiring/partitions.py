"""The grid as Dagster's partitions, and back.

The cell 64/unmasked has the partition key "unmasked|64": dimensions stand in the order of their names. Replicates stand in
the dimension `train_size`, "unmasked|64-s1", so that what is made for a size of a replicate has that dimension alone and
Dagster maps the one to the other.
"""

import functools
from dataclasses import replace

import dagster as dg

from nomad_assets.cells import Cell, Over
from nomad_assets.errors import NomadError, shown
from nomad_assets.grid import Grid


class Partitions:
    """Partition definitions of one grid."""

    def __init__(self, grid: Grid):
        self.grid = grid

    @functools.cached_property
    def by_size(self) -> dg.StaticPartitionsDefinition:
        return dg.StaticPartitionsDefinition([cell.size_label for cell in self.grid.sizes])

    @functools.cached_property
    def by_cell(self) -> dg.MultiPartitionsDefinition:
        by_arm = dg.StaticPartitionsDefinition(list(self.grid.arms))
        return dg.MultiPartitionsDefinition({"train_size": self.by_size, "arm": by_arm})

    def definition(self, over: Over) -> dg.PartitionsDefinition | None:
        return {Over.GRID: None, Over.SIZES: self.by_size, Over.CELLS: self.by_cell}[over]

    def cell_of(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Cell:
        return self.cell(context.partition_key if context.has_partition_key else None)

    def cell(self, partition_key: str | None) -> Cell:
        """The cell of a partition key (`arm|train_size`, `train_size` or None).

        Raises NomadError when this grid has no such cell.
        """
        if partition_key is None:
            return Cell()
        arm, mark, size = partition_key.rpartition("|")
        sizes = {cell.size_label: cell for cell in self.grid.sizes}
        if size not in sizes or (mark and arm not in self.grid.arms):
            raise NomadError(
                f"partition {shown(partition_key)}: not in this profile's grid: sizes {', '.join(map(str, self.grid.train_sizes))}, arms {', '.join(self.grid.arms)}"
            )
        return replace(sizes[size], arm=arm if mark else None)


def partition_key(cell: Cell) -> "str | dg.MultiPartitionKey | None":
    if cell.train_size is None:
        return None
    if cell.arm is None:
        return cell.size_label
    return dg.MultiPartitionKey({"train_size": cell.size_label, "arm": cell.arm})
