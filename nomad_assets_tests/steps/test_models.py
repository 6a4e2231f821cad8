"""Trained models: contracts and checks."""

import polars as pl

from nomad_assets.steps.models import TrainingCurve, TrainingRows
from nomad_assets_tests.damaged import CELL, Damaged
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    TrainingCurve,
    ("step", 0, "greater_than_or_equal_to(1)"),
    ("step", 2, "unique"),
    ("loss", -0.1, "greater_than_or_equal_to(0)"),
    ("loss", float("nan"), "not_nullable"),
    ("loss", float("inf"), "less_than(inf)"),
    ("learning_rate", -0.1, "greater_than_or_equal_to(0)"),
    ("grad_norm", float("nan"), "not_nullable"),
    ("grad_norm", float("inf"), "less_than(inf)"),
)
def test_the_curves_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(
    TrainingRows,
    ("tokens", 0, "greater_than_or_equal_to(1)"),
    ("supervised_tokens", -1, "greater_than_or_equal_to(0)"),
    ("supervised_tokens", 0, "every_used_row_has_a_supervised_token"),
)
def test_the_rows_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_a_loss_that_did_not_fall(damaged: Damaged) -> None:
    assert damaged.finding("teacher_model", CELL, "teacher_loss_fell").passed
    damaged.change("teacher_model", CELL, "curve.parquet", pl.col("loss").reverse())
    damaged.assert_fails("teacher_model", CELL, "teacher_loss_fell", "from ")
    path = damaged.store.require("teacher_model", CELL) / "curve.parquet"
    pl.read_parquet(path).head(3).write_parquet(path)
    few = damaged.finding("teacher_model", CELL, "teacher_loss_fell")
    assert few.passed and few.text == "3 optimizer steps are too few to tell"
