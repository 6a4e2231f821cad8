"""The seed pool and its subsets: contracts and checks."""

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.steps.seeds import LeftOut, SeedExamples, SeedSubset
from nomad_assets_tests.damaged import Damaged
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(
    SeedExamples,
    ("id", "short", "str_length"),
    ("id", "fedcba9876543210", "unique"),
    ("position", -1, "greater_than_or_equal_to(0)"),
    ("position", 1, "unique"),
    ("prompt", "", "str_length"),
    ("response", "", "str_length"),
    ("source_row", 0, "greater_than_or_equal_to(1)"),
)
def test_the_pools_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(LeftOut, ("reason", "bored", "isin"), ("row", 0, "greater_than_or_equal_to(1)"))
def test_the_contract_of_what_was_left_out(breach: Breach) -> None:
    assert_counted_and_shown(breach)


@breaches(SeedSubset, ("id", "fedcba9876543210", "unique"), ("prompt", "", "str_length"))
def test_the_subsets_contract(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_a_subset_of_the_wrong_size_or_that_does_not_nest(damaged: Damaged) -> None:
    name = "subset_has_its_size_and_nests"
    assert damaged.finding("seed_subset", Cell(16), name).passed
    path = damaged.store.require("seed_subset", Cell(8)) / "seeds.parquet"
    table = pl.read_parquet(path)
    table.reverse().write_parquet(path)
    damaged.assert_fails("seed_subset", Cell(8), name, "not the head of seed_examples/", rows=1)
    damaged.assert_fails("seed_subset", Cell(16), name, "seed_subset [8] is not its head", rows=1)
    table.head(7).write_parquet(path)
    damaged.assert_fails("seed_subset", Cell(8), name, "7 rows instead of 8", rows=1)
