"""Checks on a copy of a finished run that a test may damage."""

from dataclasses import dataclass

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import Finding, Result, check_place
from nomad_assets.grid import Grid
from nomad_assets.store.local import LocalStore

CELL = Cell(16, "unmasked")


@dataclass(frozen=True)
class Damaged:
    """A grid and a store of its own."""

    grid: Grid
    store: LocalStore

    def result(self, asset: str, cell: Cell, name: str) -> Result:
        (result,) = check_place(self.grid, self.store, self.grid.graph[asset], cell, {name})
        return result

    def finding(self, asset: str, cell: Cell, name: str) -> Finding:
        return self.result(asset, cell, name).finding

    def assert_fails(self, asset: str, cell: Cell, name: str, text: str, rows: int | None = None) -> None:
        found = self.finding(asset, cell, name)
        assert not found.passed and text in found.text, found
        if rows is not None:
            assert len(found.rows) == rows, found.rows

    def change(self, asset: str, cell: Cell, table: str, *columns: pl.Expr, **filters: object) -> None:
        """Rewrite a stored table with other columns or fewer rows."""
        path = self.store.require(asset, cell) / table
        pl.read_parquet(path).with_columns(*columns).filter(**filters).write_parquet(path)
