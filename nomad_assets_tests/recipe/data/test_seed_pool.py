"""The seed pool: its order, what is left out, and subsets that nest."""

import re

import polars as pl
import pytest

from nomad_assets.engine.tables import validate
from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.seed_pool import build_pool, reordered, take_subset
from nomad_assets.recipe.data.sources import Row, Rows
from nomad_assets.steps.seeds import LeftOut, SeedExamples


def source(name: str, count: int) -> Rows:
    return Rows(
        [
            Row(name, n, f"{name}{n}", f"What does {name} say about item {n}?", f"{name} {n}")
            for n in range(1, count + 1)
        ]
    )


def pool_of(*sources: Rows, questions: tuple = (), seed: int = 0) -> pl.DataFrame:
    return build_pool(list(sources), list(questions), seed)[0]


def test_the_pool_holds_every_row_once_and_conforms():
    pool, left_out = build_pool([source("a", 5), source("b", 3)], [], seed=0)
    validate(pool, SeedExamples, "pool")
    validate(left_out, LeftOut, "left out")
    assert left_out.height == 0
    assert pool["position"].to_list() == list(range(8))
    assert sorted(pool["source_id"]) == ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3"]
    row = pool.filter(pl.col("source_id") == "b2").to_dicts()[0]
    assert (row["prompt"], row["response"], row["source"], row["source_row"]) == (
        "What does b say about item 2?",
        "b 2",
        "b",
        2,
    )
    assert row["id"] == Row("", 1, None, row["prompt"], row["response"]).id


def test_smaller_subsets_are_heads_of_larger_ones():
    pool = pool_of(source("a", 30), source("b", 10))
    for size in range(1, 41):
        subset = take_subset(pool, size)
        assert subset.height == size
        assert subset.equals(take_subset(pool, 40).head(size))


def test_sources_are_interleaved_in_proportion():
    """30 rows of a and 10 of b: places (k + 1/2)/30 and (k + 1/2)/10 give a b in the middle of every four."""
    pool = pool_of(source("a", 30), source("b", 10))
    assert (
        pool["source"].to_list() == ["a", "a", "b", "a"] * 10 or pool["source"].to_list() == ["a", "b", "a", "a"] * 10
    )
    for size in range(4, 41, 4):
        assert pool["source"].head(size).to_list().count("b") == size // 4


def test_equal_sources_alternate():
    assert pool_of(source("a", 6), source("b", 6))["source"].to_list() == ["a", "b"] * 6


def test_the_order_depends_on_seed_and_content_alone():
    rows = source("a", 30)
    first = pool_of(rows, seed=1)
    assert first.equals(pool_of(rows, seed=1))
    moved = Rows(rows.rows[::-1])
    assert pool_of(moved, seed=1)["id"].to_list() == first["id"].to_list()
    other = pool_of(rows, seed=2)
    assert other["id"].to_list() != first["id"].to_list()
    assert sorted(other["id"]) == sorted(first["id"])
    assert first["source_row"].to_list() != list(range(1, 31)), "shuffled"


def test_a_row_more_moves_no_other_past_another():
    """A hash decides the order, so a row that is added leaves the others in theirs."""
    first = pool_of(source("a", 30))["source_row"].to_list()
    assert [row for row in pool_of(source("a", 31))["source_row"].to_list() if row != 31] == first


def test_a_replicates_order_mixes_the_sources_and_keeps_every_row():
    pool = pool_of(source("a", 30), source("b", 10))
    other = reordered(pool, 5)
    assert other.sort("position").equals(pool) and other["id"].to_list() != pool["id"].to_list()
    assert other.equals(reordered(pool, 5)) and not other.equals(reordered(pool, 6))
    for size in range(4, 41, 4):
        assert other["source"].head(size).to_list().count("b") == size // 4


def test_a_row_that_is_added_moves_no_other_in_a_replicates_order():
    first = reordered(pool_of(source("a", 30)), 5)["id"].to_list()
    more = pool_of(source("a", 31))
    (new,) = set(more["id"]) - set(first)
    assert [row_id for row_id in reordered(more, 5)["id"] if row_id != new] == first


def test_repeats_are_left_out_with_their_twin():
    rows = Rows([
        Row("s/a.jsonl", 1, None, "Who wrote Faust?", "Goethe"),
        Row("s/a.jsonl", 2, None, "who wrote FAUST", "goethe!"),
        Row("s/a.jsonl", 3, None, "Who wrote Faust?", "Marlowe"),
    ])  # fmt: skip
    more = Rows([Row("s/b.jsonl", 9, None, "Who  wrote Faust?", "Goethe")])
    pool, left_out = build_pool([rows, more], [], seed=0)
    assert sorted(pool["source_row"]) == [1, 3]
    assert left_out.to_dicts() == [
        {"source": "s/a.jsonl", "row": 2, "reason": "repeat", "evidence": "same as s/a.jsonl row 1"},
        {"source": "s/b.jsonl", "row": 9, "reason": "repeat", "evidence": "same as s/a.jsonl row 1"},
    ]


def test_prompt_and_response_do_not_run_together():
    rows = Rows([Row("s", 1, None, "a b", "c"), Row("s", 2, None, "a", "b c")])
    assert pool_of(rows).height == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [("6 + 3", "6 - 3"), ("6 × 3", "6 ÷ 3"), ("6 * 3", "6 / 3"), ("6 − 3", "6 + 3"), ("1 < 2", "1 > 2")],
)
def test_other_operators_are_no_repeats(one, other):
    rows = Rows(
        [Row("s", 1, None, f"Look at {one}, please.", "yes"), Row("s", 2, None, f"Look at {other}, please.", "yes")]
    )
    assert pool_of(rows).height == 2


def test_benchmark_questions_are_left_out_with_the_question():
    rows = Rows(
        [
            Row("s", 1, None, "What is the capital of Peru?", "Lima"),
            Row("s", 2, None, "What is the capital of Chad?", "N'Djamena"),
        ]
    )
    pool, left_out = build_pool([rows], [("trivia-1", "What is the capital of Peru?", ["Lima"])], seed=0)
    assert pool["source_row"].to_list() == [2]
    assert left_out.to_dicts() == [
        {"source": "s", "row": 1, "reason": "benchmark_question", "evidence": "trivia-1: What is the capital of Peru?"}
    ]


def test_what_reading_left_out_stays_reported():
    noted = {"source": "s", "row": 4, "reason": "not_single_turn", "evidence": "messages"}
    assert build_pool([Rows(source("a", 2).rows, [noted])], [], seed=0)[1].to_dicts() == [noted]


def test_nothing_left():
    rows = Rows([Row("s", 1, None, "What is the capital of Peru?", "Lima")])
    with pytest.raises(
        NomadError,
        match=r"^seeds: every row was left out as a repeat or as a benchmark question; give other seed rows$",
    ):
        build_pool([rows], [("q", "What is the capital of Peru?", ["Lima"])], seed=0)


def test_a_size_larger_than_the_pool():
    with pytest.raises(
        NomadError, match=f"^{re.escape('grid.train_sizes: 9 is larger than the seed pool of 8 rows; use at most 8')}$"
    ):
        take_subset(pool_of(source("a", 8)), 9)
