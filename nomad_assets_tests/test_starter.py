"""A project folder to start from: the profile that is written, the rows that are held out, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cli import app
from nomad_assets.errors import NomadError
from nomad_assets.profile import Profile, Section, load_profile
from nomad_assets.recipe.sources import read_source
from nomad_assets.starter import commented_profile, start
from nomad_assets_tests.test_graph import ROOT

SHIPPED = ROOT / "data" / "seed" / "trivia.jsonl"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_with_rows_is_ready_to_run(tmp_path: Path) -> None:
    made = start(tmp_path / "mine", str(SHIPPED))
    names = {path.relative_to(tmp_path / "mine").as_posix() for path in made}
    assert names == {
        ".gitignore",
        "dagster.yaml",
        "workspace.yaml",
        "nomad.toml",
        "data/seeds.jsonl",
        "data/questions.jsonl",
    }
    profile = load_profile(str(tmp_path / "mine" / "nomad.toml"))
    assert (
        profile.name == "mine"
        and profile.grid.train_sizes == [16, 64]
        and profile.benchmarks["held_out"].rule == "triviaqa"
    )
    held_out, kept = (lines(tmp_path / "mine" / "data" / f"{name}.jsonl") for name in ("questions", "seeds"))
    rows = read_source(str(SHIPPED)).rows
    assert len({row["question"] for row in held_out}) == 100 and 0.95 * len(rows) < len(held_out) + len(kept) < len(
        rows
    )
    assert {row["question"] for row in (*held_out, *kept)} <= {row.prompt for row in rows}
    assert not {row["question"] for row in held_out} & {row["question"] for row in kept}


def test_rows_with_numbers_are_scored_by_them(tmp_path: Path) -> None:
    start(tmp_path / "sums", str(ROOT / "data" / "seed" / "word_problems.jsonl"))
    profile = load_profile(str(tmp_path / "sums" / "nomad.toml"))
    assert profile.benchmarks["held_out"].rule == "gsm8k"
    assert {"prompt", "response"} == set(lines(tmp_path / "sums" / "data" / "seeds.jsonl")[0])


def test_a_new_row_moves_no_other_between_seeds_and_questions(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}?", "response": str(i)} for i in range(60)]
    for name, part in (("a", rows), ("b", [*rows, {"prompt": "One more?", "response": "yes"}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
        start(tmp_path / name, str(tmp_path / f"{name}.jsonl"))
    first, second = ({row["prompt"] for row in lines(tmp_path / name / "data" / "questions.jsonl")} for name in "ab")
    assert len(first - second) <= 1


def test_every_key_stands_in_the_profile_with_its_meaning(tmp_path: Path) -> None:
    start(tmp_path / "mine", str(SHIPPED))
    text = (tmp_path / "mine" / "nomad.toml").read_text(encoding="utf-8")

    def keys(model: type[Section]) -> set[str]:
        return {name for name in model.model_fields if name != "folder"}

    for name in keys(Profile):
        annotation = Profile.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            section = text.split(f"[{name}]")[1].split("\n[")[0]
            for key in keys(annotation):
                assert f"\n{key} =" in section or f"\n# {key} =" in section, f"{name}.{key}"
    assert "0 masks the prompt, 1 is NOMAD" in text


def test_what_is_commented_out_is_the_default() -> None:
    chosen = {
        "name": "x", "seeds": {"sources": [{"path": "a.jsonl"}]}, "benchmarks": {"b": {"source": {"path": "b.jsonl"}}},
        "base_model": {"source": "tiny-random"}, "grid": {"train_sizes": [4]}, "curation": {"keep": 4},
        "synthesis": {"target": 4, "max_attempts": 8},
    }  # fmt: skip
    import tomllib

    short = tomllib.loads(commented_profile(chosen))
    plain = [
        line[2:]
        for line in commented_profile(chosen).splitlines()
        if line.startswith("# ") and " = " in line and line.split(" = ")[0][2:].isidentifier()
    ]
    assert len(plain) > 40
    whole = tomllib.loads(
        "\n".join(
            line.removeprefix("# ") if line.removeprefix("# ") in plain else line
            for line in commented_profile(chosen).splitlines()
        )
    )
    place = {"folder": Path(".")}
    assert Profile.model_validate({**short, **place}) == Profile.model_validate({**whole, **place})


def test_an_empty_project_says_where_rows_go(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine")])
    assert done.exit_code == 0 and "put your rows into data/" in done.stderr
    assert "seeds.jsonl" in (tmp_path / "mine" / "data" / "README.md").read_text(encoding="utf-8")
    load_profile(str(tmp_path / "mine" / "nomad.toml"))


def test_the_folder_of_a_project_is_its_default_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "mine", str(SHIPPED))
    monkeypatch.chdir(tmp_path / "mine")
    assert load_profile().name == "mine"
    monkeypatch.setenv("NOMAD_PROFILE", "smoke")
    assert load_profile().name == "smoke"


def test_nothing_is_written_over_and_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(NomadError, match="is not empty"):
        start(tmp_path / "mine", None)
    with pytest.raises(NomadError, match="no such file"):
        start(tmp_path / "other", str(tmp_path / "missing.jsonl"))
    (tmp_path / "few.jsonl").write_text('{"prompt": "a?", "response": "b"}\n')
    with pytest.raises(NomadError, match="at least 10"):
        start(tmp_path / "other", str(tmp_path / "few.jsonl"))
    (tmp_path / "few.jsonl").write_text('{"prompt": "a?", "response": "b"}\n{"prompt": "A ?", "response": "c"}\n' * 20)
    with pytest.raises(NomadError, match="only 1 rows with different prompts"):
        start(tmp_path / "other", str(tmp_path / "few.jsonl"))
    with pytest.raises(NomadError, match="folder's name"):
        start(tmp_path / "my project", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.jsonl", "mine"]


def test_sizes_are_of_what_the_pool_will_hold(tmp_path: Path) -> None:
    from nomad_assets.recipe.seeds import build_pool, take_subset

    text = "Tom has {} bags with three apples in each of them, and he gives one whole bag to his sister Ann. How many?"
    rows = [{"prompt": f"Question {i}?", "response": str(i)} for i in range(8)] * 2
    rows += [{"prompt": text.format(i), "response": str(i)} for i in range(4)]
    (tmp_path / "my.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    start(tmp_path / "mine", str(tmp_path / "my.jsonl"))
    profile = load_profile(str(tmp_path / "mine" / "nomad.toml"))
    read = {name: read_source(str(tmp_path / "mine" / "data" / f"{name}.jsonl")) for name in ("seeds", "questions")}
    questions = [(str(row.number), row.prompt, [row.response]) for row in read["questions"].rows]
    pool, left_out = build_pool([read["seeds"]], questions, 0)
    assert left_out.is_empty() and take_subset(pool, profile.grid.train_sizes[-1]).height == pool.height


def test_an_empty_folder_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    done = CliRunner().invoke(app, ["init", "."])
    assert done.exit_code == 0, done.stderr
    assert load_profile().name == "mine"


def test_dagsters_files_are_the_projects_own() -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (ROOT / "nomad_assets" / "project_files" / name).read_bytes() == (ROOT / name).read_bytes()
