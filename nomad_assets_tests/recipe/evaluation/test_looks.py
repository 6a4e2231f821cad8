"""Looks at planted results: what is compared is settled first, an effect ends them, and so does its absence."""

import numpy as np
import polars as pl
import pytest

from nomad_assets.recipe.evaluation.looks import looks_taken

QUESTIONS = 80
RIVALS = (None, "tuned")


def results(replicates: int, gain: float, *, tuned: float | None = None, seed: int = 0) -> pl.DataFrame:
    """Right or wrong of `a` and `b` and their controls; `a` is ahead of the control by `gain`, `b` behind it by 30 points."""
    random, rows = np.random.default_rng(seed), []
    easy = random.uniform(0.2, 0.7, QUESTIONS)
    models = [("control", None, 0.0), ("student", "a", gain), ("student", "b", -0.3)]
    models += [] if tuned is None else [("control", "tuned", tuned)]
    for replicate in range(replicates):
        for kind, arm, ahead in models:
            right = random.random(QUESTIONS) < np.clip(easy + ahead, 0, 1)
            rows += [
                (
                    kind,
                    8,
                    replicate,
                    arm,
                    "quiz",
                    f"q{q}",
                    "exact_match",
                    float(r),
                    f"q{q}",
                    "dev" if q < 20 else "test",
                )
                for q, r in enumerate(right)
            ]
    schema = {
        "kind": str, "train_size": int, "replicate": int, "arm": str, "benchmark": str, "question_id": str, "metric": str,
        "value": float, "cluster": str, "split": str,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_large_effect_ends_the_looks_early():
    found = looks_taken(results(12, 0.3), 5, 12, RIVALS)
    assert found[-1].decision == "stop: higher" and found[-1].look.replicates < 9
    assert [(t.train_size, t.arm, t.control) for t in found] == [(8, "a", None)] * len(found)
    assert found[-1].words().startswith(f"after {found[-1].look.replicates} replicates: 8/a +")


def test_no_effect_ends_them_as_futile_or_with_the_last_replicate():
    decisions = [looks_taken(results(12, 0.0, seed=seed), 5, 12, RIVALS)[-1].decision for seed in range(10)]
    assert set(decisions) <= {"stop: futile", "end: no difference shown", "stop: lower", "stop: higher"}
    assert sum(d in ("stop: futile", "end: no difference shown") for d in decisions) >= 8


def test_looks_wait_for_whole_replicates():
    assert looks_taken(results(4, 0.3), 5, 12, RIVALS) == []
    found = looks_taken(results(6, 0.05), 5, 12, RIVALS)
    assert [t.look.replicates for t in found] == [5, 6] and not found[-1].ends
    table = results(6, 0.05).filter(
        ~((pl.col("kind") == "student") & (pl.col("replicate") == 5) & (pl.col("arm") == "a"))
    )
    assert [t.look.replicates for t in looks_taken(table, 5, 12, RIVALS)] == [5]


def test_replicates_that_come_later_change_no_look_that_was_taken():
    whole = results(12, 0.1)
    early = looks_taken(whole.filter(pl.col("replicate") < 7), 5, 12, RIVALS)
    assert looks_taken(whole, 5, 12, RIVALS)[: len(early)] == early


def test_the_strongest_control_by_the_dev_questions_is_the_one_that_counts():
    found = looks_taken(results(12, 0.3, tuned=0.3), 5, 12, RIVALS)
    assert {t.control for t in found} == {"tuned"} and found[-1].decision != "stop: higher"
    assert {t.control for t in looks_taken(results(12, 0.3, tuned=0.3), 5, 12, (None,))} == {None}


@pytest.mark.parametrize("column", ["kind", "split"])
def test_without_controls_or_dev_questions_there_is_nothing_to_look_at(column: str):
    table = results(12, 0.3).filter(pl.col(column) != {"kind": "control", "split": "dev"}[column])
    assert looks_taken(table, 5, 12, RIVALS) == []
