"""Headroom as assets: what is stored, that a killed run goes on with the next model, and that nothing asks for it by itself."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine import runner
from nomad_assets.engine.checks import check_place
from nomad_assets.engine.listeners import Run
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import changed
from nomad_assets.recipe.headroom import measure
from nomad_assets.status import status
from nomad_assets.steps.headroom import HEADROOM_HTML, HEADROOM_MARKDOWN
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown

WITHIN = Run("5a0ce5b2-0000-4000-8000-000000000000", "test")
NAMES = ["headroom_scores", "headroom_report"]


def scores(store: LocalStore) -> pl.DataFrame:
    return store.require("headroom_scores", Cell()).read("scores.parquet")


# What is stored.


def test_every_point_of_every_replicate_has_the_same_dev_questions_and_no_other(headroom) -> None:
    table = scores(headroom.store)
    asked = headroom.store.require("benchmark_questions", Cell()).read("questions.parquet").filter(split="dev")
    for key, group in table.group_by("curve", "point", "replicate", "metric"):
        assert sorted(group["question_id"]) == sorted(asked["id"]), key
    points = table.select("curve", "point", "replicate").unique().sort("curve", "point", "replicate").rows()
    trained = [(curve, point, number) for curve, point in (("rows", 8.0), ("rows", 16.0)) for number in (0, 1)]
    others = [("votes", 2.0, 0), ("votes", 2.0, 1), ("wrong", 0.5, 0), ("wrong", 0.5, 1)]
    assert points == [("rows", 0.0, 0), *trained, *others]


def test_the_untouched_base_scores_what_base_scores_has(headroom) -> None:
    """Headroom and the grid score a model alike."""
    of_grid = headroom.store.require("base_scores", Cell()).read("results.parquet")
    for ours, theirs in (("right", "exact_match"), ("answer_logprob", "answer_logprob")):
        base = scores(headroom.store).filter(curve="rows", point=0.0, metric=ours).select("question_id", "value")
        joined = base.join(of_grid.filter(metric=theirs), on="question_id")
        assert joined.height == base.height > 0
        assert (joined["value"] - joined["value_right"]).abs().max() < 1e-6


def test_the_page_begins_with_the_verdict(headroom) -> None:
    artifact = headroom.store.require("headroom_report", Cell())
    text = (artifact / HEADROOM_MARKDOWN.name).read_text(encoding="utf-8")
    verdict = artifact.manifest.metrics["verdict"]
    assert verdict == "cannot tell" and text.partition("## The answer\n\n**")[2].startswith("Cannot tell:")
    assert "Cannot tell:" in (artifact / HEADROOM_HTML.name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "breach",
    [
        Breach("HeadroomScores", "value", 1.5, "shares_and_log_probabilities"),
        Breach("HeadroomScores", "curve", "loss", "isin"),
        Breach("HeadroomContrasts", "call", "perhaps", "isin"),
    ],
    ids=lambda breach: f"{breach.contract}.{breach.column}",
)
def test_breaches_are_refused(breach: Breach) -> None:
    assert_counted_and_shown(breach)


def test_a_question_that_is_missing_at_a_point_fails_a_check(headroom, tmp_path: Path) -> None:
    store = headroom.copy(tmp_path)
    place = store.require("headroom_scores", Cell()).path / "scores.parquet"
    table = pl.read_parquet(place)
    place.chmod(0o644)
    table.filter(~((pl.col("curve") == "wrong") & (pl.col("question_id") == table["question_id"][0]))).write_parquet(
        place
    )
    found = {r.check.name: r.finding for r in check_place(headroom.grid, store, headroom.grid.graph[NAMES[0]], Cell())}
    assert found["every_model_answered_every_question"].passed is True, "it is gone at every point of that curve"
    lost = (pl.col("curve") == "rows") & (pl.col("point") == 8) & (pl.col("question_id") == table["question_id"][0])
    table.filter(~lost).write_parquet(place)
    found = {r.check.name: r.finding for r in check_place(headroom.grid, store, headroom.grid.graph[NAMES[0]], Cell())}
    assert not found["every_model_answered_every_question"].passed


# A run that is killed.


@pytest.mark.parametrize("after", [1, 4])
def test_a_killed_run_goes_on_with_the_model_that_it_was_at(
    after: int, headroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trained = headroom.copy(tmp_path), []
    shutil.rmtree(store.require("headroom_scores", Cell()).path.parent)
    train = measure.train_folder

    def dies(*args, **options):
        if len(trained) == after:
            raise KeyboardInterrupt
        trained.append(options["out"].parent.name)
        return train(*args, **options)

    step = headroom.grid.graph["headroom_scores"]
    monkeypatch.setattr(measure, "train_folder", dies)
    with pytest.raises(KeyboardInterrupt):
        runner.run(step, Cell(), headroom.grid, store, [], WITHIN)
    assert store.current("headroom_scores", Cell()) is None
    monkeypatch.setattr(
        measure, "train_folder", lambda *a, **o: (trained.append(o["out"].parent.name), train(*a, **o))[1]
    )
    runner.run(step, Cell(), headroom.grid, store, [], WITHIN)
    assert trained == ["0-8-0", "0-16-0", "0-16-0.5", "1-8-0", "1-16-0", "1-16-0.5"], "each once, none again"
    assert scores(store).equals(scores(headroom.store))


# Nobody makes it unasked.


def test_it_is_no_part_of_a_run_and_of_no_status_until_somebody_asks(finished) -> None:
    grid = finished.grid
    assert grid.wanted(None) == set(grid.graph) - set(NAMES)
    assert grid.wanted("headroom_report") == {*NAMES, "seed_examples", "base_model", "benchmark_questions"}
    assert not {s.step.name for s in status(finished.grid, finished.store)} & set(NAMES)
    assert [s.state for s in status(finished.grid, finished.store, NAMES)] == ["missing", "missing"]


def test_once_it_is_there_its_state_is_shown(headroom) -> None:
    assert {s.state for s in status(headroom.grid, headroom.store) if s.step.asked} == {"current"}
    other = Grid(changed(headroom.grid.profile, {"headroom.margin": 0.1}, "settings"))
    (page,) = [s for s in status(other, headroom.store) if s.state != "current"]
    assert page.step.name == "headroom_report" and page.reasons == ["margin 0.05 → 0.1"]


# What cannot be measured.


def test_benchmarks_without_dev_questions_are_said(finished) -> None:
    data = finished.grid.profile.model_dump()
    for benchmark in data["benchmarks"].values():
        benchmark["dev"] = 0.0
    profile = type(finished.grid.profile).model_validate({**data, "folder": finished.grid.profile.folder})
    with pytest.raises(
        NomadError, match=r"no benchmark has any: give one with a `source` and set benchmarks.NAME.dev above 0"
    ):
        runner.run(finished.grid.graph["headroom_scores"], Cell(), Grid(profile), finished.store, [], WITHIN)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sizes", [0, 8], "at least two sizes above 0"),
        ("sizes", [8, 8], "sizes must be distinct"),
        ("sizes", [8], "at least 2 items"),
        ("wrong", [0.5, 0.5], "shares must be distinct"),
        ("wrong", [1.0], "less than 1"),
        ("answers", 1, "greater than or equal to 2"),
        ("temperature", 0.0, "greater than 0"),
        ("margin", 0.0, "greater than 0"),
        ("replicates", 0, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_when_they_are_loaded(
    key: str, value: object, message: str, finished
) -> None:
    with pytest.raises(NomadError, match=message) as error:
        changed(finished.grid.profile, {f"headroom.{key}": value}, "own.toml")
    assert f"own.toml: headroom.{key}" in str(error.value)
