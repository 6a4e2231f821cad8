"""Runs of the grid: what is made again, what is skipped, what is said, and what a run would take."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nomad_assets.cells import Cell
from nomad_assets.definitions import work_of
from nomad_assets.engine.listeners import Listener
from nomad_assets.errors import NomadError
from nomad_assets.store.local import LocalStore
from nomad_assets.wiring import execution
from nomad_assets.wiring.execution import Execution
from nomad_assets.wiring.orders import Order, jobs_for
from nomad_assets.wiring.runs import forecast, run_grid
from nomad_assets_tests.smoke_grid import enter_home, run, write_profile

CELL = Cell(8, "masked")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_home(tmp_path, monkeypatch)


@pytest.fixture
def copied(finished, home: Path) -> LocalStore:
    """A finished store that a test may change, in a Dagster home that knows no run of it."""
    return finished.copy(home / "lake")


def made_again(store: LocalStore) -> set[str]:
    places = [(asset, cell) for asset, cell in store.places() if len(list(store.place(asset, cell).glob("v*"))) > 1]
    return {f"{asset} [{cell.label}]" for asset, cell in places}


def test_a_lost_file_is_said_and_repaired_alone(finished, copied: LocalStore) -> None:
    (copied.require("seed_subset", Cell(8)) / "seeds.parquet").unlink()
    failures, said = run(finished.profile)
    assert failures == ["seed_subset [8]: seeds.parquet is missing; nomad-assets run --repair makes it again"]
    assert "grid 8/masked: skipped, since seed_subset [8] failed" in said and made_again(copied) == set()

    failures, said = run(finished.profile, repair=True)
    assert failures == [] and made_again(copied) == {"seed_subset [8]"}
    assert "grid 8/masked: nothing changed" in said
    everything = [f"{job.label}: nothing changed" for job in jobs_for(finished.grid, Order())]
    assert run(finished.profile, repair=True)[1][:-1] == everything


def test_a_changed_file_and_an_unreadable_manifest_are_repaired_and_what_reads_them_stays(
    finished, copied: LocalStore
) -> None:
    questions = copied.require("benchmark_questions", Cell()) / "questions.parquet"
    content = questions.read_bytes()
    questions.write_bytes(content[:-8] + b"x" * 8)
    (copied.require("seed_subset", Cell(16)) / "manifest.json").write_text("{", encoding="utf-8")
    failures, _ = run(finished.profile, repair=True, until="teacher_model")
    # The questions are none of a teacher's ancestors: that order does not come to them.
    assert failures == [] and len(copied.versions("teacher_model", Cell(16, "masked"))) == 1
    assert len(list(copied.place("seed_subset", Cell(16)).glob("v*"))) == 2
    assert run(finished.profile, repair=True)[0] == []
    assert made_again(copied) == {"seed_subset [16]", "benchmark_questions [-]"}


def test_force_asset_makes_that_one_again_and_nothing_behind_it_that_did_not_change(
    finished, copied: LocalStore
) -> None:
    failures, said = run(finished.profile, force_assets=["seed_subset"])
    assert failures == [] and made_again(copied) == {"seed_subset [8]", "seed_subset [16]"}
    assert "grid 8/masked: nothing changed" in said


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"force_assets": ["teacher"]}, "--force-asset 'teacher': unknown asset; known: "),
        ({"force_assets": ["student_model"], "until": "seed_subset"}, "--until seed_subset does not come to it"),
    ],
)
def test_an_asset_that_no_step_of_the_run_makes_is_refused(home: Path, order: dict, message: str) -> None:
    with pytest.raises(NomadError, match=message):
        run(write_profile(home), **order)


def test_a_size_beyond_the_pool_is_said_first_and_is_the_only_failure(finished, copied: LocalStore, home: Path) -> None:
    profile = write_profile(home, train_sizes="train_sizes = [8, 16, 5000]")
    failures, said = run(profile, until="teacher_model")
    assert len(failures) == 1 and failures[0].startswith("seed_subset [5000]: grid.train_sizes: 5000 is larger")
    assert said[0] == f"cannot be made: {failures[0]}"
    assert "grid 5000/masked: skipped, since seed_subset [5000] failed" in said
    assert "grid 8/masked: nothing changed" in said and made_again(copied) == set()


def test_missing_files_end_a_run_before_anything_is_made(home: Path) -> None:
    profile = write_profile(home)
    profile.write_text(profile.read_text(encoding="utf-8").replace("seed/trivia.jsonl", "gone.jsonl"), encoding="utf-8")
    with pytest.raises(NomadError, match=r"seeds\.sources\.0: .*gone\.jsonl: no such file"):
        run(profile)
    assert not (home / "lake").exists()


def test_a_listener_that_cannot_work_here_ends_a_run_before_anything_is_made(home: Path) -> None:
    class Broken(Listener):
        def problem(self) -> str:
            return "no client"

    with pytest.raises(NomadError, match="no client"):
        run_grid(str(write_profile(home)), Order(), lambda text: None, [Broken()])
    assert not list((home / "lake").rglob("manifest.json"))


def test_what_failed_because_of_a_failure_is_not_listed(
    finished, copied: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = finished.grid.graph["seed_subset"]
    body = step.body

    def fails_for_8(config, inputs, out) -> None:
        if config.head.size == 8:
            raise NomadError("no such luck")
        body(config, inputs, out)

    monkeypatch.setitem(vars(step), "body", fails_for_8)
    shutil.rmtree(copied.require("seed_subset", Cell(8)).path)
    failures, said = run(finished.profile, force_assets=["seed_subset"])
    assert failures == ["seed_subset [8]: no such luck"]
    assert "grid 8/masked: skipped, since seed_subset [8] failed" in said
    assert "grid 16/masked: nothing changed" in said


def test_a_forecast_has_the_reasons_and_the_seconds_of_earlier_runs(finished, copied: LocalStore, home: Path) -> None:
    assert forecast(str(finished.profile), Order()) == []
    steps = forecast(str(write_profile(home, keep="keep = 3")), Order(until="student_model", cells=["8/masked"]))
    assert [step.place for step in steps] == ["curated_corpus [8/masked]", "student_model [8/masked]"]
    took = copied.require("curated_corpus", CELL).manifest.seconds
    assert steps[0].seconds == took and "curation.keep 8 → 3" in steps[0].reasons


def test_a_forecast_of_a_repair_says_what_is_damaged(finished, copied: LocalStore) -> None:
    (copied.require("seed_subset", Cell(8)) / "seeds.parquet").unlink()
    (copied.require("seed_subset", Cell(16)) / "manifest.json").write_text("{", encoding="utf-8")
    questions = copied.require("benchmark_questions", Cell()) / "questions.parquet"
    questions.write_bytes(questions.read_bytes()[:-1] + b"x")
    why = {step.place: step.reasons for step in forecast(str(finished.profile), Order(repair=True))}
    assert why["benchmark_questions [-]"] == ["its files are not those of its manifest"]
    assert why["seed_subset [8]"] == ["seeds.parquet is missing"]
    assert why["seed_subset [16]"] == ["its manifest cannot be read"]


def test_a_forecast_of_a_new_grid_knows_no_seconds_and_leaves_out_what_cannot_be_made(home: Path) -> None:
    profile = write_profile(home, train_sizes="train_sizes = [8, 5000]")
    steps = forecast(str(profile), Order(until="teacher_model"))
    assert {step.seconds for step in steps} == {None} and {step.cell.train_size for step in steps} == {None, 8}


def test_what_is_still_to_be_made_is_told_at_the_start_and_after_each_job(
    finished, copied: LocalStore, home: Path
) -> None:
    shutil.rmtree(copied.require("seed_subset", Cell(8)).path)
    told: list[list[str]] = []
    run_grid(
        str(finished.profile), Order(until="seed_subset"), lambda text: None,
        expect=lambda steps: told.append([step.place for step in steps]),
    )  # fmt: skip
    assert told == [["seed_subset [8]"], ["seed_subset [8]"], [], []]


def test_a_run_with_nothing_to_do_never_loads_dagster_or_torch(finished, copied: LocalStore) -> None:
    code = (
        "import sys; from nomad_assets.wiring.runs import Order, run_grid; said = []; "
        f"assert run_grid({str(finished.profile)!r}, Order(), said.append) == []; "
        "assert all('nothing changed' in line for line in said[:-1]), said; "
        "print(sorted({'dagster', 'torch', 'transformers', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ.copy(), check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_step_that_waits_for_the_accelerator_says_so(
    finished, copied: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LOOK_EVERY_SECONDS", 0.2)
    said, heard = [], threading.Event()

    def say(text: str) -> None:
        said.append(text)
        heard.set()

    shutil.rmtree(copied.require("base_scores", Cell()).path)
    work = work_of(str(finished.profile))
    job = jobs_for(work.grid, Order(until="base_scores"))[0]
    with Execution.opened(work, say) as runs:
        storage = runs.dagster.event_log_storage
        storage.initialize_concurrency_limit_to_default("accelerator")
        assert storage.claim_concurrency_slot("accelerator", "another-run", "own__teacher_model").is_claimed
        outcomes: list[execution.Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(runs.run(job, set())))
        thread.start()
        with contextlib.ExitStack() as stack:
            stack.callback(thread.join)
            stack.callback(storage.free_concurrency_slot_for_step, "another-run", "own__teacher_model")
            assert heard.wait(120)
    assert said == ["base_scores [-]: waiting for the accelerator, which another run holds for own__teacher_model"]
    assert outcomes[0].failures == []
