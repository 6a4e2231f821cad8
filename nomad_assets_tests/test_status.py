"""`nomad-assets status` and what it stands on: states, reasons, and what cannot be made."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets import status as module
from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.engine import fingerprint
from nomad_assets.grid import Grid
from nomad_assets.lineage.retention import places_outside
from nomad_assets.profile.load import load_profile
from nomad_assets.status import PlaceStatus, problems, seconds_before, status
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.smoke_grid import write_profile

CELL = Cell(8, "masked")


@pytest.fixture
def copied(finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A finished store that a test may change; NOMAD_HOME names its folder."""
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "lake"))
    monkeypatch.chdir(tmp_path)
    return finished.copy(tmp_path / "lake")


def of(states: list[PlaceStatus], asset: str, cell: Cell = CELL) -> PlaceStatus:
    return next(state for state in states if (state.step.name, state.cell) == (asset, cell))


def not_current(states: list[PlaceStatus]) -> set[str]:
    return {state.place for state in states if state.state != "current"}


def ask(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["status", *arguments], env={"COLUMNS": "300"})
    return done.exit_code, done.stdout


def test_after_a_whole_run_everything_is_current(finished) -> None:
    states = status(finished.grid, finished.store)
    assert len(states) == 35 and not_current(states) == set()
    assert places_outside(finished.grid, finished.store) == []
    assert problems(finished.grid, finished.store).words() == []


def test_a_changed_setting_is_named_with_both_values_and_only_what_depends_on_it_is_out_of_date(
    finished, copied: LocalStore, tmp_path: Path
) -> None:
    grid = Grid(load_profile(str(write_profile(tmp_path, keep="keep = 3"))))
    states = status(
        grid, copied, {"teacher_model", "synthetic_corpus", "curated_corpus", "corpus_profile", "student_model"}
    )
    curated = of(states, "curated_corpus")
    assert curated.state == "out of date" and "curation.keep 8 → 3" in curated.reasons
    student = of(states, "student_model")
    assert student.state == "out of date" and student.reasons == ["student.steps 4 → 3"]
    assert of(states, "teacher_model").state == of(states, "synthetic_corpus").state == "current"


def test_what_is_missing_makes_what_reads_it_out_of_date(finished, copied: LocalStore) -> None:
    shutil.rmtree(copied.require("seed_subset", Cell(8)).path)
    states = status(finished.grid, copied)
    assert of(states, "seed_subset", Cell(8)).state == "missing"
    assert of(states, "teacher_model").reasons == ["seed_subset [8] is missing"]
    assert of(states, "teacher_model", Cell(16, "masked")).state == "current"


def test_what_a_withdrawn_row_reached_is_withdrawn(finished, copied: LocalStore) -> None:
    reached = copied.require("student_model", CELL).manifest.artifact_id
    copied.withdraw({"time": 1.0, "reason": "", "rows": {}, "artifacts": [reached]})
    states = status(finished.grid, copied)
    assert of(states, "student_model").state == "withdrawn"
    assert of(states, "student_scores").state == "out of date"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "manifest.json").write_text("{", encoding="utf-8"), "not a readable manifest"),
        (lambda folder: (folder / "curated.parquet").unlink(), "curated.parquet is missing"),
        (
            lambda folder: (folder / "curated.parquet").write_bytes(b"PAR1"),
            "curated.parquet has 4 bytes, its manifest says",
        ),
    ],
    ids=["manifest", "lost", "cut"],
)
def test_damage_is_unreadable_and_says_what_is_wrong(
    finished, copied: LocalStore, monkeypatch: pytest.MonkeyPatch, damage, reason: str
) -> None:
    monkeypatch.setattr(fingerprint, "_digests", {})  # as in a process of its own
    damage(copied.require("curated_corpus", CELL).path)
    states = status(finished.grid, copied)
    state = of(states, "curated_corpus")
    assert state.state == "unreadable" and reason in state.reasons[0]
    assert of(states, "student_model").reasons == ["curated_corpus [8/masked] is unreadable"]
    code, said = ask("-p", str(finished.profile))
    assert code == 1 and "unreadable curated_corpus [8/masked]" in said


def test_a_table_of_the_right_size_that_cannot_be_read_puts_what_reads_it_out_of_date(
    finished, copied: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_digests", {})
    table = copied.require("curated_corpus", CELL) / "curated.parquet"
    table.write_bytes(b"x" * table.stat().st_size)
    student = of(status(finished.grid, copied), "student_model")
    assert student.state == "out of date" and "curated.parquet cannot be read" in student.reasons[0]


def test_what_the_profile_does_not_have_any_more_is_outside(finished, copied: LocalStore, tmp_path: Path) -> None:
    path = write_profile(tmp_path, train_sizes="train_sizes = [8]")
    places = places_outside(Grid(load_profile(str(path))), copied)
    assert ("teacher_model", Cell(16, "masked")) in places and {cell.train_size for _, cell in places} == {16}
    assert "stored places are outside the grid; nomad-assets prune --outside" in ask("-p", str(path))[1]


def test_other_versions_of_libraries_are_a_note(finished, copied: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = copied.require("seed_examples", Cell()).manifest
    now = {**manifest.libraries, "polars": "0.0"}
    monkeypatch.setattr(module, "libraries", lambda: now)
    states = status(finished.grid, copied)
    assert not_current(states) == set()
    assert f"polars {manifest.libraries['polars']} → 0.0" in of(states, "seed_examples", Cell()).notes
    code, said = ask("-p", str(finished.profile))
    assert code == 0 and "note: polars" in said


def test_seconds_are_a_place_s_own_or_the_median_of_its_asset_s_others(finished, copied: LocalStore) -> None:
    shutil.rmtree(copied.require("teacher_model", CELL).path)
    states = status(finished.grid, copied)
    took = sorted(s.artifact.manifest.seconds for s in states if s.step.name == "teacher_model" and s.artifact)
    known = seconds_before(states)
    assert len(took) == 3 and known["teacher_model", CELL] == took[1]
    other = Cell(16, "masked")
    assert known["teacher_model", other] == of(states, "teacher_model", other).artifact.manifest.seconds


def test_a_size_beyond_the_pool_is_a_problem_of_that_size_alone(tmp_path: Path, store: LocalStore) -> None:
    grid = Grid(load_profile(str(write_profile(tmp_path, train_sizes="train_sizes = [8, 5000]"))))
    found = problems(grid, store)
    assert list(found.places) == [("seed_subset", Cell(5000))] and "larger than the seed pool" in found.words()[0]


def test_a_missing_file_is_named_by_its_key(tmp_path: Path, store: LocalStore) -> None:
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8").replace("trivia.jsonl", "gone.jsonl", 1)
    path.write_text(text, encoding="utf-8")
    found = problems(Grid(load_profile(str(path))), store)
    assert "no such file or folder" in found.missing["seeds.sources.0"] and found.places == {}


def test_a_source_of_the_user_s_own_code_is_no_missing_file(tmp_path: Path, store: LocalStore) -> None:
    """Its rows are counted by the run alone: the code may take long, or reach out."""
    (tmp_path / "mine.py").write_text("def rows():\n    raise RuntimeError('was run')\n", encoding="utf-8")
    path = write_profile(tmp_path)
    lines = [
        line if "seed/trivia.jsonl" not in line else '{ path = "python:mine.py:rows" },'
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert problems(Grid(load_profile(str(path))), store).words() == []


def test_a_store_of_another_version_is_refused_in_one_sentence(finished, copied: LocalStore) -> None:
    manifest = copied.require("seed_examples", Cell()) / "manifest.json"
    record = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**record, "format": 1}), encoding="utf-8")
    for command in ("status", "run"):
        done = CliRunner().invoke(app, [command, "-p", str(finished.profile)])
        assert done.exit_code == 2 and done.stderr.count("this store was written by another version") == 1


def test_rows_that_cannot_be_read_are_a_problem(tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "mine.jsonl").write_text("no json\n", encoding="utf-8")
    path = write_profile(tmp_path)
    lines = [
        line if "seed/trivia.jsonl" not in line else f'{{ path = "{tmp_path / "mine.jsonl"}" }},'
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert "mine.jsonl" in problems(Grid(load_profile(str(path))), store).pool


def test_the_command_counts_what_is_current_and_lists_the_rest(finished, copied: LocalStore) -> None:
    shutil.rmtree(copied.require("student_scores", CELL).path)
    code, said = ask("-p", str(finished.profile))
    assert code == 0 and "missing student_scores [8/masked]" in said and "teacher_model" not in said
    assert "35 places: 33 current, 1 missing, 1 out of date" in said
    assert (
        "current teacher_model [8/masked, 8/unmasked, 16/masked, 16/unmasked]"
        in ask("--all", "-p", str(finished.profile))[1]
    )


def test_an_empty_store_is_listed_without_failing(tmp_path: Path) -> None:
    code, said = ask("--json", "-p", str(write_profile(tmp_path)))
    record = json.loads(said)
    assert code == 0 and {place["state"] for place in record["places"]} == {"missing"}
    assert record["problems"] == [] and record["outside"] == []


def test_problems_stand_first_and_fail(tmp_path: Path) -> None:
    code, said = ask("-p", str(write_profile(tmp_path, train_sizes="train_sizes = [8, 5000]")))
    assert code == 1 and said.startswith("problem seed_subset [5000]: grid.train_sizes: 5000 is larger")
