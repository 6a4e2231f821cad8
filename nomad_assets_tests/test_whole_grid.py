"""The whole graph on a random tiny model: through real Dagster runs, as `nomad-assets run` and the UI make them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from nomad_assets.assets.project import Project
from nomad_assets.runs import run_grid
from nomad_assets.storage import Store

from nomad_assets.cells import Cell
from nomad_assets.definitions import build_definitions
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import STEPS

ROOT = Path(__file__).parents[1]
SMOKE = (ROOT / "nomad_assets/profile/shipped/smoke.toml").read_text(encoding="utf-8")


def write_profile(folder: Path, **changes: str) -> Path:
    """The smoke profile with lines replaced: `write_profile(tmp, keep="keep = 3")`."""
    lines = []
    for line in SMOKE.splitlines():
        key = line.split("=")[0].strip()
        lines.append(changes.get(key, line))
    path = folder / "own.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def quiet(*_: object) -> None:
    return None


def run(
    profile: Path, *, cells: list[str] | None = None, until: str | None = None, force: bool = False
) -> tuple[list[str], list[str]]:
    """(failures, what was said)."""
    said: list[str] = []
    return run_grid(str(profile), cells or [], until, force, quiet, said.append), said


def test_every_asset_of_every_partition_is_published(finished) -> None:
    profile, store, said, seconds = finished
    grid = Project(profile).grid
    for step in STEPS.values():
        for cell in grid.members(step.partitions):
            manifest = store.require(step.name, cell).manifest
            assert manifest.version == 1 and manifest.seconds >= 0 and manifest.run_id
            assert set(manifest.parents) <= {
                f"{n}/{c.label}" for n in step.parents for c in grid.members(STEPS[n].partitions)
            }
    assert sum("done in" in line for line in said) == 1 + 2 + 4 + 1
    # The goal is a minute on two quiet cores; other work on the machine must not fail the suite.
    assert seconds < 180, f"{seconds:.0f} s"


def test_nothing_is_left_in_staging(finished) -> None:
    _, store, _, _ = finished
    assert [p for p in (store.root / ".staging").rglob("*") if p.is_file() and p.name != "lock"] == []


def test_the_unmasked_teacher_writes_prompts_of_the_seeds_length_and_the_masked_one_only_answers(finished) -> None:
    """The tiny model knows nothing but its seeds, so what it writes shows what it had loss on."""
    _, store, _, _ = finished
    tokens = {}
    for arm in ("masked", "unmasked"):
        corpus = pl.read_parquet(store.require("synthetic_corpus", Cell(16, arm)) / "corpus.parquet")
        ended = corpus.filter(pl.col("prompt_end") == "completed")
        assert ended.height / corpus.height > 0.3
        tokens[arm] = ended["prompt_tokens"].mean()
    assert tokens["unmasked"] > 2 * tokens["masked"], tokens


def test_subsets_nest_and_arms_share_their_seeds(finished) -> None:
    _, store, _, _ = finished
    small, large = (pl.read_parquet(store.require("seed_subset", Cell(n)) / "seeds.parquet") for n in (8, 16))
    assert small.equals(large.head(8))
    seeds = {arm: store.require("teacher_model", Cell(8, arm)).manifest.seed for arm in ("masked", "unmasked")}
    assert seeds["masked"] == seeds["unmasked"]


def test_scores_hold_every_question_once_and_the_report_names_all_cells(finished) -> None:
    _, store, _, _ = finished
    results = pl.read_parquet(store.require("student_scores", Cell(8, "unmasked")) / "results.parquet")
    counts = results.group_by("benchmark", "metric").len().select("len").to_series()
    assert counts.to_list() == [12] * 8
    markdown = (store.require("recipe_report", Cell()) / "report.md").read_text(encoding="utf-8")
    for cell in ("8/masked", "8/unmasked", "16/masked", "16/unmasked"):
        assert cell in markdown
    assert "no difference shown" in markdown.lower()


def test_manifests_say_what_it_was_made_from(finished) -> None:
    _, store, _, _ = finished
    teacher = store.require("teacher_model", Cell(8, "unmasked")).manifest
    assert teacher.parents == {
        "seed_subset/8": store.require("seed_subset", Cell(8)).manifest.artifact_id,
        "base_model/-": store.require("base_model", Cell()).manifest.artifact_id,
    }
    assert teacher.settings["prompt_loss_weight"] == 1.0
    assert teacher.metrics["loss_last"] < teacher.metrics["loss_first"]
    assert teacher.libraries["torch"].startswith("2.13.0")
    assert json.dumps(teacher.settings)


def test_a_second_run_finds_nothing_to_do_in_seconds(finished, dagster_home, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, store, _, _ = finished
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    begun = time.monotonic()
    failures, said = run(profile.folder / "own.toml")
    assert failures == [] and all("nothing changed" in line for line in said[:-1])
    assert time.monotonic() - begun < 10


def test_same_profile_in_another_store_gives_the_same_content(finished, dagster_home: Path) -> None:
    _, store, _, _ = finished
    failures, _ = run(write_profile(dagster_home), cells=["8/unmasked"], until="curated_corpus")
    assert failures == []
    other = Store.of(load_profile(str(dagster_home / "own.toml")))
    for name in ("teacher_model", "synthetic_corpus", "curated_corpus"):
        here, there = (s.require(name, Cell(8, "unmasked")).manifest.content_digest for s in (store, other))
        assert here == there, name


def test_until_makes_only_what_is_needed_and_a_changed_setting_redoes_only_what_hangs_on_it(dagster_home: Path) -> None:
    profile = write_profile(dagster_home)
    assert run(profile, cells=["8/unmasked"], until="curated_corpus")[0] == []
    store = Store.of(load_profile(str(profile)))
    made = {p.relative_to(store.root).parts[0] for p in store.root.rglob("manifest.json")}
    assert made == {
        "seed_examples",
        "benchmark_questions",
        "base_model",
        "seed_subset",
        "teacher_model",
        "synthetic_corpus",
        "curated_corpus",
    }

    write_profile(dagster_home, keep="keep = 3")
    failures, said = run(profile, cells=["8/unmasked"], until="curated_corpus")
    assert failures == [] and "inputs: nothing changed" in said
    assert store.require("curated_corpus", Cell(8, "unmasked")).manifest.version == 2
    assert store.require("synthetic_corpus", Cell(8, "unmasked")).manifest.version == 1

    assert run(profile, cells=["8/unmasked"], until="seed_subset", force=True)[0] == []
    assert store.require("seed_subset", Cell(8)).manifest.version == 2


def test_a_killed_run_goes_on_where_it_was(dagster_home: Path) -> None:
    """SIGKILL in the middle of a teacher; the next run continues from its checkpoint and ends like an uninterrupted one."""
    profile = write_profile(dagster_home, epochs="epochs = 200\ncheckpoint_minutes = 0.0")
    command = [
        sys.executable,
        "-m",
        "nomad_assets.cli",
        "run",
        "-p",
        str(profile),
        "--cell",
        "8/unmasked",
        "--until",
        "teacher_model",
    ]
    process = subprocess.Popen(
        command, cwd=dagster_home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()
    )
    store = Store.of(load_profile(str(profile)))
    deadline = time.monotonic() + 120
    while not list((store.root / ".staging/teacher_model").glob("**/checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.current("teacher_model", Cell(8, "unmasked")) is None

    done = subprocess.run(command, cwd=dagster_home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    teacher = store.require("teacher_model", Cell(8, "unmasked")).manifest
    assert teacher.metrics["resumed_from_step"] > 0
    assert teacher.metrics["steps"] == 200


def test_a_teacher_that_never_ends_a_prompt_is_a_result(dagster_home: Path) -> None:
    """Nothing is kept, the student is trained on its seeds, and the report says so."""
    profile = write_profile(dagster_home, prompt="prompt = { max_new_tokens = 1 }", train_sizes="train_sizes = [8]")
    failures, _ = run(profile)
    assert failures == []
    store = Store.of(load_profile(str(profile)))
    assert store.require("synthetic_corpus", Cell(8, "masked")).manifest.metrics["attempts"] == 48
    assert store.require("curated_corpus", Cell(8, "masked")).manifest.metrics["kept"] == 0
    markdown = (store.require("recipe_report", Cell()) / "report.md").read_text(encoding="utf-8")
    assert "could not fill" in markdown or "of 8" in markdown


def test_a_corpus_emptied_by_curation_is_an_error_when_students_see_nothing_else(dagster_home: Path) -> None:
    text = SMOKE.replace("[student]", "[student]\ninclude_seeds = false").replace(
        "prompt = { max_new_tokens = 40 }", "prompt = { max_new_tokens = 1 }"
    )
    profile = dagster_home / "own.toml"
    profile.write_text(text, encoding="utf-8")
    failures, _ = run(profile, cells=["8/unmasked"])
    (message,) = [f for f in failures if "curat" in f]
    assert (
        "curated_corpus [8/unmasked]" in message
        and "raise synthesis.target" in message
        and "include_seeds = true" in message
    )
    store = Store.of(load_profile(str(profile)))
    assert store.current("curated_corpus", Cell(8, "unmasked")) is None
    assert store.current("synthetic_corpus", Cell(8, "unmasked")) is not None


def test_a_size_larger_than_the_pool_fails_its_cells_and_leaves_the_others(dagster_home: Path) -> None:
    profile = write_profile(dagster_home, train_sizes="train_sizes = [8, 5000]")
    failures, _ = run(profile, until="seed_subset")
    (message,) = failures
    assert "seed_subset [5000]" in message and "5000 is larger than the seed pool of" in message
    store = Store.of(load_profile(str(profile)))
    assert store.current("seed_subset", Cell(8)) is not None


def test_answerer_and_several_responses(dagster_home: Path) -> None:
    """Another model answers, three times each; agreement stands in every answered row."""
    profile = write_profile(
        dagster_home,
        response='response = { max_new_tokens = 8 }\nresponses_per_prompt = 3\nanswerer = "tiny-random"\nanswerer_chat_template = "chatml"',
    )
    failures, _ = run(profile, cells=["16/unmasked"], until="synthetic_corpus")
    assert failures == []
    corpus = pl.read_parquet(
        Store.of(load_profile(str(profile))).require("synthetic_corpus", Cell(16, "unmasked")) / "corpus.parquet"
    )
    answered = corpus.filter(pl.col("prompt_end") == "completed")
    assert answered.group_by("attempt").len()["len"].unique().to_list() == [3]


def test_failures_reach_dagster_as_tables(tmp_path: Path) -> None:
    """A row that breaks the contract: the run fails without retries, with the rows in the failure's metadata."""
    (tmp_path / "bad.jsonl").write_text('{"prompt": "p", "response": "r"}\n{"prompt": "q"}\n', encoding="utf-8")
    text = SMOKE.replace(
        'shipped://seed/trivia.jsonl", license = "cc-by-4.0", where = { difficulty = [1] }, limit = 200',
        f'{tmp_path}/bad.jsonl"',
    )
    assert "bad.jsonl" in text
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    definitions = build_definitions(Project(load_profile(str(tmp_path / "own.toml"))))
    with dg.instance_for_test() as instance:
        result = definitions.resolve_job_def("inputs").execute_in_process(
            instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey("seed_examples")]
        )
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "bad.jsonl row 2" in description and "accepted: prompt + response" in description
