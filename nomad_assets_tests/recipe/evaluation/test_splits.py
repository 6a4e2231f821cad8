"""Which questions choices are made on: whole clusters, about a share, and some on either side."""

import polars as pl
import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.evaluation.splits import dev_clusters, with_splits

FIVE = {f"template {number}": 2 for number in range(5)}


def test_the_worked_example() -> None:
    (chosen,) = dev_clusters(FIVE, 0.25, "b")
    assert chosen in FIVE and dev_clusters(FIVE, 0.25, "b") == {chosen}


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.9])
def test_dev_is_at_most_its_share_and_neither_side_is_empty(share: float) -> None:
    questions = {f"c{number}": 1 + number % 7 for number in range(40)}
    chosen = dev_clusters(questions, share, "b")
    assert 0 < len(chosen) < 40
    assert sum(questions[name] for name in chosen) <= share * sum(questions.values())


def test_where_no_cluster_fits_the_smallest_is_taken() -> None:
    assert dev_clusters({"large": 90, "small": 10, "middle": 20}, 0.01, "b") == {"small"}


def test_without_a_share_there_are_no_choices() -> None:
    assert dev_clusters(FIVE, 0, "b") == set()


def test_one_cluster_cannot_be_split() -> None:
    with pytest.raises(NomadError, match=r"^benchmarks.b.dev = 0.25: all its questions are one cluster"):
        dev_clusters({"one": 40}, 0.25, "b")


def test_a_cluster_lies_on_one_side_of_its_benchmark() -> None:
    table = pl.DataFrame(
        {"benchmark": ["a"] * 8 + ["b"] * 4, "cluster": [str(n // 2) for n in range(8)] + list("0123")}
    )
    split = with_splits(table, {"a": 0.25, "b": 0.0})
    assert split.select("benchmark", "cluster").equals(table)
    assert split.group_by("benchmark", "cluster").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 8
    assert split.filter(split="dev").group_by("benchmark").len().rows() == [("a", 2)]
