"""The Python API: a light import, the page that documents it, runs without Dagster, the recipe on data frames."""

import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import nomad_assets as na
from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets_tests.conftest import Finished
from nomad_assets_tests.smoke_grid import ROOT, SHORT, write_profile

HEAVY = ("dagster", "torch", "polars", "transformers", "pydantic", "pandera")
ROWS = [{"prompt": "What is 2 + 3?", "response": "5"}, {"prompt": "Name a river.", "response": "The Nile"}]


# Importing


def modules_after(code: str) -> set[str]:
    """Which of the heavy modules a fresh interpreter holds after some code."""
    report = f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert modules_after("import nomad_assets; dir(nomad_assets)") == set()


def test_loading_a_grid_needs_neither_dagster_nor_torch() -> None:
    found = modules_after("import nomad_assets; nomad_assets.load('smoke').status(); nomad_assets.curate")
    assert not found & {"dagster", "torch", "transformers"}
    assert "polars" in found


def test_every_public_name_is_there() -> None:
    assert set(na.__all__) <= set(dir(na))
    assert all(getattr(na, name).__name__ == name for name in na.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        na.nothing  # noqa: B018


# Its page


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.M | re.S))
    names: dict = {}
    exec(compile(code, "docs/python-api.md", "exec"), names)
    said = capsys.readouterr().out
    assert "curated_corpus [8/unmasked]: made in" in said
    assert "# Does synthetic data help here?" in said
    assert said.rstrip().endswith("cell '32/unmasked': unknown train size '32'; this profile has 8, 16")
    assert set(names["made"]["asset"]) >= {"student_scores", "recipe_report"}
    assert names["judged"]["reason"].to_list() == ["kept", "contaminated"]


# Running


@pytest.fixture
def grid(tmp_path: Path) -> na.OpenGrid:
    return na.load(write_profile(tmp_path, **SHORT))


def test_a_run_makes_what_is_missing_and_then_nothing(grid: na.OpenGrid) -> None:
    said: list[str] = []
    made = grid.run(until="seed_subset", say=said.append)
    assert made.select("asset", "cell").rows() == [("seed_examples", "-"), ("seed_subset", "8"), ("seed_subset", "16")]
    assert made["rows"].to_list()[1:] == [8, 16]
    assert said[0] == "seed_examples [-]: starts"
    assert grid.run(until="seed_subset", say=None).is_empty()


def test_force_makes_again_what_it_names_alone(grid: na.OpenGrid) -> None:
    grid.run(until="seed_subset", say=None)
    said: list[str] = []
    made = grid.run(cells="8/masked", until="seed_subset", force="seed_subset", say=said.append)
    assert made.select("asset", "cell").rows() == [("seed_subset", "8")]
    assert said[0] == "seed_subset [8]: starts (forced)"
    assert grid.run(until="seed_subset", force=True, say=None).height == 3


def test_a_run_says_why_a_step_is_out_of_date(grid: na.OpenGrid) -> None:
    grid.run(until="seed_subset", say=None)
    said: list[str] = []
    na.load(grid.profile, settings={"seed": 8}).run(until="seed_examples", say=said.append)
    assert re.fullmatch(r"seed_examples \[-\]: starts \(seed \d+ → \d+\)", said[0])


def test_listeners_are_told_of_every_step(grid: na.OpenGrid) -> None:
    class Told(Listener):
        jobs: set[str] = set()  # noqa: RUF012
        places: list[str] = []  # noqa: RUF012

        def made(self, attempt: Attempt, *facts: object) -> None:
            self.places.append(attempt.place)
            self.jobs.add(attempt.run.job)

    grid.run(until="seed_subset", say=None, listeners=[Told()])
    assert (Told.jobs, Told.places) == ({"python"}, ["seed_examples [-]", "seed_subset [8]", "seed_subset [16]"])


def test_a_failure_ends_its_own_cell_and_is_raised_at_the_end(tmp_path: Path) -> None:
    grid = na.load(write_profile(tmp_path, train_sizes="train_sizes = [8, 100000]"))
    said: list[str] = []
    with pytest.raises(
        NomadError,
        match=r"^1 of 3 places could not be made:\nseed_subset \[100000\]: grid\.train_sizes: 100000 is larger",
    ):
        grid.run(until="seed_subset", say=said.append)
    assert grid.table("seed_subset", 8).height == 8


def test_what_needs_a_failed_step_is_skipped_and_is_no_failure_of_its_own(tmp_path: Path) -> None:
    grid = na.load(write_profile(tmp_path, train_sizes="train_sizes = [100000]"))
    said: list[str] = []
    with pytest.raises(NomadError, match=r"^1 of 5 places could not be made:\nseed_subset \[100000\]: [^\n]*$"):
        grid.run(until="teacher_model", say=said.append)
    assert said[-1] == "teacher_model [100000/unmasked]: skipped, since seed_subset [100000] failed"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"cells": ["9/masked"]}, "unknown train size '9'"),
        ({"until": "nothing"}, "until = 'nothing': unknown asset; known: "),
        ({"force": ["nothing"]}, "force: unknown asset nothing; known: "),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(grid: na.OpenGrid, order: dict, message: str) -> None:
    with pytest.raises(NomadError, match=message):
        grid.run(**order)


def test_a_file_that_is_missing_is_said_before_anything_is_made(tmp_path: Path) -> None:
    grid = na.load(
        write_profile(
            tmp_path,
            chat_template='chat_template = "mine.jinja"',
            dtype='dtype = "float32"\nchat_template = "mine.jinja"',
        )
    )
    with pytest.raises(NomadError, match=r"base_model\.chat_template: mine\.jinja: no such file"):
        grid.run()
    assert grid.status()["state"].unique().to_list() == ["missing"]


# Reading


@pytest.fixture
def whole(finished: Finished) -> na.OpenGrid:
    """The finished smoke run; it is read alone."""
    return na.load(finished.profile, store=finished.store)


def test_tables_are_those_that_are_stored(whole: na.OpenGrid, finished: Finished) -> None:
    artifact = finished.store.require("curated_corpus", Cell(8, "masked"))
    assert whole.table("curated_corpus", "8/masked").equals(artifact.read("curated.parquet"))
    assert whole.table("curated_corpus", "8/masked", name="seed_points").equals(artifact.read("seed_points.parquet"))
    assert whole.table("seed_subset", 8).equals(whole.table("seed_subset", "8"))
    assert (whole.model("base_model") / "config.json").is_file()


def test_scores_hold_every_model_once_per_benchmark_and_metric(whole: na.OpenGrid, finished: Finished) -> None:
    scores = whole.scores()
    assert dict(scores.unique(["kind", "train_size", "arm"]).group_by("kind").len().rows()) == {
        "base": 1, "control": 2, "student": 4,
    }  # fmt: skip
    assert not scores.select("kind", "train_size", "arm", "benchmark", "metric").is_duplicated().any()
    own = scores.filter(train_size=8, arm="unmasked").select("benchmark", "metric", "n", "mean", "low", "high")
    stored = finished.store.require("student_scores", Cell(8, "unmasked")).read("scores.parquet")
    assert own.equals(stored)


def test_the_report_is_markdown_and_a_page(whole: na.OpenGrid) -> None:
    report = whole.report()
    assert str(report).startswith("# Does synthetic data help here?")
    assert report.html.name == "report.html" and report.out_of_date == []
    assert report._repr_html_().startswith("<iframe srcdoc=")


def test_a_report_that_is_stale_says_so(whole: na.OpenGrid, finished: Finished) -> None:
    changed = na.load(finished.profile, store=finished.store, settings={"evaluation.bootstrap": 999}).report()
    assert "bootstrap 1000 → 999" in changed.out_of_date
    assert changed._repr_html_().startswith("<p>Out of date: ")


def test_status_and_checks_cover_every_place(whole: na.OpenGrid) -> None:
    states = whole.status()
    assert states["state"].unique().to_list() == ["current"]
    checks = whole.check()
    assert set(checks["asset"]) == set(whole.assets) - {"headroom_scores", "headroom_report"}, "which nobody asked for"
    assert checks.filter(severity="ERROR")["passed"].all()
    some = whole.check("seed_subset", "8")
    assert some.select("asset", "cell").unique().rows() == [("seed_subset", "8")]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("nothing",), "unknown asset 'nothing'; known: "),
        (
            ("curated_corpus",),
            "curated_corpus is made for each of 8/masked, 8/unmasked, 16/masked, 16/unmasked; name one",
        ),
        (("curated_corpus", "8"), "curated_corpus is made for each of .*, not for 8"),
        (("seed_examples", "8"), "seed_examples is made once, not for 8"),
        (("curated_corpus", "8/masked", "points"), "unknown table 'points'; it has curated, seed_points"),
        (("base_model",), "base_model has no tables"),
    ],
)
def test_what_cannot_be_read_is_named(whole: na.OpenGrid, asked: tuple, message: str) -> None:
    with pytest.raises(NomadError, match=message):
        whole.table(*asked)


def test_what_is_not_made_is_named(grid: na.OpenGrid) -> None:
    with pytest.raises(NotMadeError, match=r"curated_corpus \[8/masked\] has not been materialised"):
        grid.table("curated_corpus", "8/masked")
    with pytest.raises(NotMadeError, match="recipe_report"):
        grid.report()
    with pytest.raises(NomadError, match="no model has been scored"):
        grid.scores()
    with pytest.raises(NomadError, match="'seed_examples' is no model; models are base_model, "):
        grid.model("seed_examples")


# The recipe on data frames


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_one_that_training_takes(tiny_model: Path, weight: float) -> None:
    import torch

    from nomad_assets.recipe.models.loading import load_model, load_tokenizer
    from nomad_assets.recipe.models.turns import Turns
    from nomad_assets.recipe.training.packing import attend_within_rows, pack
    from nomad_assets.recipe.training.trainer import weighted_loss

    turns, model = Turns(load_tokenizer(tiny_model), "tiny"), load_model(tiny_model, torch.float32)
    rows = [turns.row(str(n), row["prompt"], row["response"], weight) for n, row in enumerate(ROWS)]
    batch = pack(rows, attend_within_rows(model))
    expected = weighted_loss(model, batch, batch["weights"].sum()).item()
    assert na.loss(tiny_model, ROWS, weight) == pytest.approx(expected, rel=1e-5)


def test_row_losses_count_each_turn_with_the_token_that_closes_it(tiny_model: Path) -> None:
    from nomad_assets.recipe.models.loading import load_tokenizer
    from nomad_assets.recipe.models.turns import Turns

    turns = Turns(load_tokenizer(tiny_model), "tiny")
    found = na.row_losses(tiny_model, pl.DataFrame(ROWS).with_columns(id=pl.Series(["a", "b"])))
    assert found["id"].to_list() == ["a", "b"]
    for turn in ("prompt", "response"):
        assert found[f"{turn}_tokens"].to_list() == [len(turns.encode(row[turn])) + 1 for row in ROWS]


def test_synthesis_is_repeated_by_its_seed(tiny_model: Path) -> None:
    options = {"target": 2, "max_attempts": 4, "prompt": {"max_new_tokens": 6}, "precision": "fp32"}
    first, again = (na.synthesize(tiny_model, seed=1, **options) for _ in range(2))
    assert first.height == 4 and first.equals(again)
    assert not first.equals(na.synthesize(tiny_model, seed=2, **options))


def test_curation_judges_plain_rows() -> None:
    rows = [
        *ROWS, {"prompt": "what is 2 + 3", "response": "five"}, {"prompt": "Name a planet.", "response": "Mars"},
        {"prompt": "Which river is longest?", "response": "2 + 2 = 5"},
    ]  # fmt: skip
    judged = na.curate(
        pl.DataFrame(rows).to_pandas(), [{"prompt": "Name a planet.", "response": "Venus"}],
        questions=[{"question": "Name a river.", "answers": ["The Nile"]}], band="none", check_arithmetic=True,
    )  # fmt: skip
    assert judged["reason"].to_list() == ["kept", "contaminated", "exact_repeat", "seed_copy", "wrong_arithmetic"]
    assert judged["verdict"].to_list() == ["kept", *["dropped"] * 4]
    assert judged["prompt"].to_list() == [row["prompt"] for row in rows]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: na.curate([{"text": "a"}], ROWS), "rows: no column prompt, response; the table has text"),
        (lambda: na.curate(ROWS, []), "seeds: no column prompt, response; the table has none"),
        (lambda: na.curate(ROWS, [{"prompt": "", "response": "a"}]), "seeds: 1 of 1 rows have an empty prompt or response"),
        (lambda: na.curate("rows.csv", ROWS), "rows: str is no data frame and no list of dictionaries"),
        (lambda: na.curate(ROWS, ROWS, bands="low"), "bands: unknown setting; accepted: keep, "),
        (lambda: na.curate(ROWS, ROWS, keep=0), "keep = 0: "),
        (lambda: na.curate(ROWS, ROWS, questions=[{"question": "a"}]), "questions: no column answers"),
        (lambda: na.synthesize("no-model", 1), "'no-model': no such folder"),
        (lambda: na.synthesize("no-model", 8, max_attempts=4), "max_attempts = 4 can never give target = 8 rows"),
        (lambda: na.loss("no-model", ROWS, 1.5), "prompt_loss_weight = 1.5: give a share from 0 to 1"),
        (lambda: na.row_losses("no-model", ROWS), "'no-model': no such folder"),
    ],
)  # fmt: skip
def test_what_the_recipe_cannot_take_is_named(call, message: str) -> None:
    with pytest.raises(NomadError, match=re.escape(message)):
        call()
