"""Which models are trained, and on which rows."""

import polars as pl
import pytest

from nomad_assets.errors import NomadError
from nomad_assets.profile.headroom_settings import HeadroomDesign
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.headroom.design import (
    Model,
    dev_questions,
    examples_of,
    models_of,
    precision_of,
    sizes_of,
    steps_of,
    with_wrong_answers,
)

POOL = pl.DataFrame({
    "id": [f"r{n:02}" for n in range(40)], "position": range(40), "prompt": [f"p{n}" for n in range(40)],
    "response": [f"a{n}" for n in range(40)], "source": ["even", "odd"] * 20,
})  # fmt: skip


def test_sizes_left_out_are_none_a_quarter_a_half_and_all_of_the_pool() -> None:
    assert sizes_of(HeadroomDesign(), 400) == [0, 100, 200, 400]
    assert sizes_of(HeadroomDesign(sizes=[32, 0, 8]), 400) == [0, 8, 32]


def test_a_pool_that_is_too_small_is_said() -> None:
    with pytest.raises(NomadError, match="the seed pool has 7 rows, and a curve takes at least 8"):
        sizes_of(HeadroomDesign(), 7)
    with pytest.raises(
        NomadError, match=r"headroom\.sizes: 32 is larger than the seed pool of 20 rows; use at most 20"
    ):
        sizes_of(HeadroomDesign(sizes=[8, 32]), 20)


def test_the_untouched_base_is_scored_once_and_every_replicate_trains_the_same_models() -> None:
    models = models_of(HeadroomDesign(replicates=2, wrong=[0.5]), 40)
    assert models[0] == Model(0, 0)
    trained = [(0, 10, 0.0), (0, 20, 0.0), (0, 40, 0.0), (0, 40, 0.5)]
    assert [(m.replicate, m.rows, m.wrong) for m in models[1:]] == [*trained, *((1, *rest) for _, *rest in trained)]
    assert len({model.name for model in models}) == len(models)


def test_all_models_make_the_steps_of_the_largest_size() -> None:
    student = Training(epochs=2.0, batch_size=8)
    assert steps_of(HeadroomDesign(), student, 100) == 25
    assert steps_of(HeadroomDesign(), student.model_copy(update={"min_steps": 40}), 100) == 40
    assert steps_of(HeadroomDesign(), student.model_copy(update={"steps": 7}), 100) == 7
    assert steps_of(HeadroomDesign(steps=3), student.model_copy(update={"steps": 7}), 100) == 3


def test_sizes_of_a_replicate_nest_and_replicates_differ() -> None:
    small, large = (examples_of(POOL, Model(1, size), 5, 0) for size in (10, 20))
    assert small == large[:10] and small != examples_of(POOL, Model(0, 10), 0, 0) == list(
        POOL.head(10).select("id", "prompt", "response").iter_rows()
    )


def test_the_share_of_rows_has_the_answer_of_another_row_of_its_source() -> None:
    right, wrong = (examples_of(POOL, Model(0, 40, share), 0, 3) for share in (0.0, 0.25))
    changed = [(a, b) for a, b in zip(right, wrong, strict=True) if a != b]
    assert len(changed) == 10
    for before, after in changed:
        assert before[:2] == after[:2]
        assert int(after[2][1:]) % 2 == int(before[2][1:]) % 2, "even answers even, odd answers odd"
    more = examples_of(POOL, Model(0, 40, 0.5), 0, 3)
    assert {b[0] for _, b in changed} < {a[0] for a, b in zip(right, more, strict=True) if a != b}, "shares nest"


def test_a_source_with_one_answer_for_all_rows_has_nothing_to_swap() -> None:
    with pytest.raises(NomadError, match=r"headroom.wrong: all rows of s have the same answer.*set wrong = \[\]"):
        with_wrong_answers([("a", "p", "yes"), ("b", "q", "yes")], ["s", "s"], 0.5, 0)


def test_wrong_rows_read_as_the_precision_of_what_was_added() -> None:
    assert precision_of(0.25, 400, 200) == 0.5
    assert precision_of(0.5, 400, 200) == 0.0
    assert precision_of(0.5, 400, 300) is None, "more are wrong than were added"


def test_only_dev_questions_are_asked_and_at_most_so_many_of_each_benchmark() -> None:
    questions = pl.DataFrame({
        "id": [f"q{n}" for n in range(20)], "benchmark": ["a"] * 16 + ["b"] * 4, "split": ["dev", "test"] * 10,
    })  # fmt: skip
    asked = dev_questions(questions, 3)
    assert dict(asked.group_by("benchmark").len().iter_rows()) == {"a": 3, "b": 2}
    assert set(asked["split"]) == {"dev"}
    more = dev_questions(pl.concat([questions, questions.with_columns(id=pl.col("id") + "x")]), 100)
    assert set(asked["id"]) <= set(more["id"])
