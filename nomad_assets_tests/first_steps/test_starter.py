"""A project folder to start from: the profile that is written, the rows that are held out, and what is refused."""

import json
import random
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nomad_assets.cli import app
from nomad_assets.errors import NomadError
from nomad_assets.first_steps.commented_profile import commented_profile
from nomad_assets.first_steps.starter import start
from nomad_assets.profile.fields import Section
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.data.seed_pool import build_pool, take_subset
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.evaluation.benchmarks import question_table
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets_tests.smoke_grid import ROOT

SHIPPED = ROOT / "data" / "seed" / "trivia.jsonl"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_with_rows_is_ready_to_run(tmp_path: Path) -> None:
    made, division = start(tmp_path / "mine", str(SHIPPED))
    names = {path.relative_to(tmp_path / "mine").as_posix() for path in made}
    assert names == {
        ".gitignore",
        "dagster.yaml",
        "workspace.yaml",
        "nomad.toml",
        "data/seeds.jsonl",
        "data/questions.jsonl",
        "data/left_out.jsonl",
    }
    profile = load_profile(str(tmp_path / "mine" / "nomad.toml"))
    assert (
        profile.name == "mine"
        and profile.grid.train_sizes == [32]
        and profile.benchmarks["held_out"].rule == "triviaqa"
    )
    held_out, kept = (lines(tmp_path / "mine" / "data" / f"{name}.jsonl") for name in ("questions", "seeds"))
    left_out = lines(tmp_path / "mine" / "data" / "left_out.jsonl")
    rows = read_source(str(SHIPPED)).rows
    assert len({row["question"] for row in held_out}) == len(held_out) == 100
    assert len(held_out) + len(kept) + len(left_out) == len(rows) and len(kept) > 0.75 * len(rows)
    assert (len(division.seeds), len(division.left_out)) == (len(kept), len(left_out))
    assert {row["question"] for row in (*held_out, *kept)} <= {row.prompt for row in rows}
    assert not {row["question"] for row in held_out} & {row["question"] for row in kept}
    assert {row["id"] for row in (*held_out, *kept)} <= {row.given_id for row in rows}


def test_rows_with_numbers_are_scored_by_them(tmp_path: Path) -> None:
    start(tmp_path / "sums", str(ROOT / "data" / "seed" / "word_problems.jsonl"))
    profile = load_profile(str(tmp_path / "sums" / "nomad.toml"))
    assert profile.benchmarks["held_out"].rule == "gsm8k"
    assert {"id", "prompt", "response"} == set(lines(tmp_path / "sums" / "data" / "seeds.jsonl")[0])


def test_a_new_row_moves_at_most_one_other_between_seeds_and_questions(tmp_path: Path) -> None:
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
            section = text.split(f"\n[{name}]")[1].split("\n[")[0]
            for key in keys(annotation):
                assert f"\n{key} =" in section or f"\n# {key} =" in section, f"{name}.{key}"
    assert "0 masks the prompt, 1 is NOMAD" in text


def test_what_is_commented_out_is_the_default() -> None:
    chosen = {
        "name": "x", "seeds": {"sources": [{"path": "a.jsonl"}]}, "benchmarks": {"b": {"source": {"path": "b.jsonl"}}},
        "base_model": {"source": "tiny-random"}, "grid": {"train_sizes": [4]}, "curation": {"keep": 4},
        "synthesis": {"target": 40, "max_attempts": 40},
    }  # fmt: skip
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


def test_any_text_and_any_number_of_benchmarks_can_be_written() -> None:
    odd = 'C:\\rows\t"mine" \u007f größe.jsonl'
    chosen = {
        "name": "x", "seeds": {"sources": [{"path": odd, "where": {"a key": ["y", 1, True]}}]}, "base_model": {"source": odd},
        "benchmarks": {"b": {"source": {"path": odd}}, "a.b": {"task": "gsm8k"}},
    }  # fmt: skip
    text = commented_profile(chosen)
    read = tomllib.loads(text)
    assert {name: read[name] for name in chosen} == chosen
    assert "\n\n\n" not in text and "never trained on. A table for each.\n[benchmarks.b]\n" in text
    assert "writes its corpus.\n[synthesis]\n" in text


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
        assert (ROOT / "nomad_assets" / "first_steps" / "project_files" / name).read_bytes() == (
            ROOT / name
        ).read_bytes()


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def pool_of(folder: Path) -> tuple[int, list[str]]:
    """What a run would make of a project: the pool's size, and why it leaves rows out."""
    profile = load_profile(str(folder / "nomad.toml"))
    read = {name: read_source(str(folder / "data" / f"{name}.jsonl")) for name in ("seeds", "questions")}
    table = question_table("held_out", profile.benchmarks["held_out"].rule, read["questions"])
    questions = list(table.select("id", "question", "answers").iter_rows())
    pool, left_out = build_pool([read["seeds"]], questions, profile.seed)
    return pool.height, left_out["reason"].to_list()


NOUNS = ("soup", "room", "film", "song", "walk", "train", "phone", "story", "garden", "shop")


def review(number: int) -> str:
    noun, other = NOUNS[number % 10], NOUNS[number // 10 % 10]
    return f"The {noun} in town {number} was {'fine' if number % 3 else 'poor'}, and the {other} took {number} minutes."


@pytest.mark.parametrize("count, free", [(10, 0), (300, 0), (300, 30), (60, 30)])
def test_rows_that_share_an_instruction_are_seeds_like_any_other(tmp_path: Path, count: int, free: int) -> None:
    task = "Classify the sentiment of the following review as positive or negative: "
    rows = [
        {"prompt": ("" if n < free else task) + review(n), "response": "positive" if n % 3 else "negative"}
        for n in range(count)
    ]
    _, division = start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    assert len(division.seeds) + len(division.questions) == count and division.left_out == []
    assert pool_of(tmp_path / "mine") == (len(division.seeds), [])


@pytest.mark.parametrize("script", ["Chinese", "Hindi", "digits", "English"])
def test_caps_hold_the_longest_row_in_any_script(tmp_path: Path, smollm2_model: Path, script: str) -> None:
    texts = {
        "Chinese": "今天天气很好，我们去公园散步吧。" * 6, "Hindi": "हिन्दी में एक लंबा वाक्य। " * 4, "digits": "12345 67890 " * 20,
        "English": "A plain English answer, as people write them. " * 6,
    }  # fmt: skip
    text, tokenizer = texts[script], load_tokenizer(smollm2_model)
    rows = [{"prompt": f"{number}. {text}", "response": f"{text} {number}"} for number in range(12)]
    start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    profile = load_profile(str(tmp_path / "mine" / "nomad.toml"))
    settings, benchmark = profile.synthesis, profile.benchmarks["held_out"]
    for cap in (settings.prompt.max_new_tokens, settings.response.max_new_tokens, benchmark.max_new_tokens):
        assert len(tokenizer.encode(rows[-1]["prompt"])) < cap < 4 * len(tokenizer.encode(text))


@pytest.mark.parametrize("tasks, each", [(5, 20), (10, 10), (20, 10), (50, 4), (100, 20)])
def test_every_task_of_many_stays_usable(tmp_path: Path, tasks: int, each: int) -> None:
    rng, rows = random.Random(0), []
    for task in range(tasks):
        about = " ".join(rng.choices(NOUNS, k=3)) + " " + " ".join(f"t{task}w{n}" for n in range(11))
        for _ in range(each):
            text = " ".join(f"{rng.choice(NOUNS)}{rng.randrange(50)}" for _ in range(12))
            rows.append({"instruction": f"{about}. Read it carefully.", "input": text, "output": rng.choice(NOUNS)})
    _, division = start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    assert len(division.left_out) <= 0.02 * len(rows), division.words()
    assert pool_of(tmp_path / "mine") == (len(division.seeds), [])


def test_no_held_out_question_stands_in_a_seed(tmp_path: Path) -> None:
    template = (
        "{} walks to the weekly market with an empty basket and carefully puts exactly {} fresh {} into it. How many?"
    )
    values = [
        (a, b, c) for a in ("Tom", "Ann", "Noah", "Mia") for b in range(3, 8) for c in ("apples", "pears", "nuts")
    ]
    rows = [
        {"prompt": template.format(*v) + end, "response": str(v[1])} for v in values for end in ("", " Explain it.")
    ]
    _, division = start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    seeds = [row.prompt for row in division.seeds]
    assert len(division.questions) >= 20 and len(seeds) >= 60
    assert not any(question.prompt in seed for question in division.questions for seed in seeds)


def test_chats_with_a_system_turn_are_counted_and_listed(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "{}"}, {"role": "assistant", "content": "Yes."}]
    rows = []
    for number in range(60):
        chat = [{**turns[0], "content": f"Is {number} a number?"}, turns[1]]
        rows.append({"messages": chat if number < 20 else [{"role": "system", "content": "Be brief."}, *chat]})
    source = write(tmp_path / "my.jsonl", rows)
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine"), "--seeds", source])
    assert (
        "60 rows read: 16 seeds, 4 held out as questions, 40 left out (not one user turn and one assistant turn)"
        in done.stderr
    )
    assert [entry["row"] for entry in lines(tmp_path / "mine" / "data" / "left_out.jsonl")] == list(range(21, 61))
    with pytest.raises(NomadError, match=r"only 9 rows .*; 40 left out \(not one user turn and one assistant turn\)"):
        start(tmp_path / "other", write(tmp_path / "my.jsonl", [*rows[:9], *rows[20:]]))


def test_a_markdown_heading_is_no_final_number(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Describe {noun}.", "response": f"#### {noun.title()}\nIt is fine."} for noun in (*NOUNS, "tea")
    ]
    start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    assert load_profile(str(tmp_path / "mine" / "nomad.toml")).benchmarks["held_out"].rule == "triviaqa"
    assert pool_of(tmp_path / "mine") == (8, [])


def test_a_prompt_is_held_out_once(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {number // 3}?", "response": str(number)} for number in range(60)]
    _, division = start(tmp_path / "mine", write(tmp_path / "my.jsonl", rows))
    assert len(division.questions) == 4 and len(division.seeds) == 48
    assert {entry["reason"] for entry in division.left_out} == {"repeat_of_a_question"} and len(division.left_out) == 8


def test_sizes_fit_few_seeds_and_fewer_are_refused(tmp_path: Path) -> None:
    shared = "Tom has {} bags with three apples in each of them, and he gives one whole bag to his sister Ann."
    rows = [{"prompt": f"Question {n}?", "response": str(n)} for n in range(4)]
    rows += [{"prompt": shared.format(n), "response": "He cannot say."} for n in range(7)]  # maybe one question
    refused = made = 0
    for salt in range(12):
        more = [{**row, "prompt": f"{row['prompt']} {salt}"} for row in rows]
        try:
            _, division = start(tmp_path / f"mine{salt}", write(tmp_path / "my.jsonl", more))
        except NomadError as error:
            assert "too few seeds are left" in str(error) and "held-out question's words" in str(error)
            assert not (tmp_path / f"mine{salt}").exists()
            refused += 1
            continue
        made += 1
        (size,) = load_profile(str(tmp_path / f"mine{salt}" / "nomad.toml")).grid.train_sizes
        assert size == min(32, len(division.seeds)) == pool_of(tmp_path / f"mine{salt}")[0] and size >= 4
    assert refused and made


def test_the_next_step_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "a [b] c").mkdir()
    done = CliRunner().invoke(app, ["init", str(tmp_path / "a [b] c" / "mine")])
    assert f"next: cd '{tmp_path}/a [b] c/mine'; " in done.stderr
