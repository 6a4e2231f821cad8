"""The grid as Dagster's partitions, and back.

The cell 64/unmasked has the partition key "unmasked|64": dimensions stand in the order of their names. Dagster has two
dimensions at most. Replicates stand in `train_size`, "unmasked|64-s1", so that what is made for a size of a replicate has that
dimension alone and Dagster maps the one to the other; selections stand in `arm`, "unmasked@high|64", and controls beside the
sizes, "64@gold".
"""

import warnings

import dagster as dg

from nomad_assets.cells import Cell, Over
from nomad_assets.errors import NomadError, shown
from nomad_assets.grid import Grid


class Partitions:
    """Partition definitions of one grid."""

    def __init__(self, grid: Grid):
        self.grid = grid

    def definition(self, over: Over) -> dg.PartitionsDefinition | None:
        if over is Over.GRID:
            return None
        if over in (Over.SIZES, Over.CONTROLS):
            return dg.StaticPartitionsDefinition([cell.last_label for cell in self.grid.members(over)])
        arms = list(dict.fromkeys(cell.last_label for cell in self.grid.members(over)))
        return dg.MultiPartitionsDefinition(
            {"train_size": self.definition(Over.SIZES), "arm": dg.StaticPartitionsDefinition(arms)}
        )

    def dependency(self, key: dg.AssetKey, parent: Over, child: Over) -> dg.AssetDep:
        """How a child's partitions depend on a parent's, where Dagster would not find it by itself."""
        if parent is Over.CELLS and child is Over.SELECTIONS and self.grid.selections:
            selections: dict[str, list[str]] = {}
            for cell in self.grid.members(child):
                known = selections.setdefault(cell.arm, [])
                known += [cell.last_label] if cell.last_label not in known else []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dg.BetaWarning)
                mapping = dg.MultiPartitionMapping({
                    "train_size": dg.DimensionPartitionMapping("train_size", dg.IdentityPartitionMapping()),
                    "arm": dg.DimensionPartitionMapping("arm", dg.StaticPartitionMapping(selections)),
                })  # fmt: skip
            return dg.AssetDep(key, partition_mapping=mapping)
        if parent is Over.CONTROLS and child is Over.CELLS and self.grid.controls:
            # Each cell reads the control of seeds alone; no mapping of Dagster's leads from some of a dimension's keys to cells.
            return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping())
        return dg.AssetDep(key)

    def cell_of(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Cell:
        return self.cell(context.partition_key if context.has_partition_key else None)

    def cell(self, partition_key: str | None) -> Cell:
        """The cell of a partition key (`arm|train_size`, `train_size` or None).

        Raises NomadError when this grid has no such cell.
        """
        if partition_key is None:
            return Cell()
        arm, mark, size = partition_key.rpartition("|")
        try:
            return self.grid.place(f"{size}/{arm}" if mark else size or partition_key)
        except NomadError:
            raise NomadError(
                f"partition {shown(partition_key)}: not in this profile's grid: sizes {', '.join(map(str, self.grid.train_sizes))}, arms {', '.join(self.grid.arms)}"
            ) from None


def partition_key(cell: Cell) -> "str | dg.MultiPartitionKey | None":
    if cell.train_size is None:
        return None
    if cell.arm is None:
        return cell.last_label
    return dg.MultiPartitionKey({"train_size": cell.size_label, "arm": cell.last_label})
