"""What the engine needs of a grid."""

from typing import Protocol

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.step import Step


class Grid(Protocol):
    """The cells of one profile, and the steps that run in them."""

    graph: Graph

    def members(self, over: Over) -> list[Cell]:
        """All cells that an asset is made for."""
        ...

    def places(self, step: Step, cell: Cell) -> list[tuple[str, Cell]]:
        """The (asset, cell) pairs that a step reads in a cell."""
        ...
