"""Students and controls: the check that every trained model has."""

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets_tests.damaged import CELL, Damaged

NAME = "every_row_has_a_supervised_token"


@pytest.mark.parametrize(
    ("asset", "cell"), [("teacher_model", CELL), ("student_model", CELL), ("control_model", Cell(16))]
)
def test_a_row_without_loss(damaged: Damaged, asset: str, cell: Cell) -> None:
    assert damaged.finding(asset, cell, NAME).passed
    first = pl.int_range(pl.len()) == 0
    without = pl.when(first).then(0).otherwise("supervised_tokens").alias("supervised_tokens")
    damaged.change(asset, cell, "rows.parquet", without)
    damaged.assert_fails(asset, cell, NAME, "1 of ", rows=1)
    damaged.change(asset, cell, "rows.parquet", pl.lit(False).alias("used"))
    assert not damaged.finding(asset, cell, NAME).passed, "no row was used"
