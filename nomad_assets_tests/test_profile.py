"""Profiles: those that ship load, defaults are what the documentation says, and every fault is named."""

import re
from pathlib import Path

import pytest

from nomad_assets.errors import NomadError
from nomad_assets.profile.load import PROFILES, load_profile, profile_path

MINIMAL = """\
[seeds]
sources = [{ path = "rows/seeds.jsonl" }]

[benchmarks.trivia]
source = { path = "questions.jsonl" }

[base_model]
source = "tiny-random"

[grid]
train_sizes = [16, 8]

[synthesis]
target = 30
max_attempts = 48

[curation]
keep = 8
"""
SHIPPED = sorted(path.stem for path in PROFILES.glob("*.toml"))


@pytest.fixture
def write(tmp_path: Path):
    """Writes MINIMAL with `old` replaced by `new` as mine.toml; `new` alone is put at the top."""

    def write(new: str = "", old: str | None = None) -> str:
        assert old is None or MINIMAL.count(old) == 1
        path = tmp_path / "mine.toml"
        path.write_text(f"{new}\n{MINIMAL}" if old is None else MINIMAL.replace(old, new), encoding="utf-8")
        return str(path)

    return write


def problem(path: str) -> str:
    with pytest.raises(NomadError) as caught:
        load_profile(path)
    return str(caught.value)


def test_the_profiles_that_the_documentation_names_ship():
    assert {"quickstart", "smoke"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.grid.train_sizes == sorted(profile.grid.train_sizes)
    local = [
        s
        for s in (*profile.seeds.sources, *(b.source for b in profile.benchmarks.values() if b.source))
        if not s.path.startswith("hf://")
    ]
    for source in local:
        assert Path(profile.resolve(source.path)).exists(), source.path


def test_smoke_as_it_ships():
    profile = load_profile("smoke")
    assert profile.base_model.source == "tiny-random"
    assert profile.grid.train_sizes == [8, 16]
    assert profile.grid.prompt_loss == {"masked": 0.0, "unmasked": 1.0}
    assert {name: b.rule for name, b in profile.benchmarks.items()} == {"trivia": "triviaqa", "word_problems": "gsm8k"}


def test_defaults(write, tmp_path):
    profile = load_profile(write())
    assert profile.name == "mine"
    assert profile.seed == 0
    assert profile.folder == tmp_path
    assert profile.seeds.sources[0].where == {} and profile.seeds.sources[0].limit is None
    trivia = profile.benchmarks["trivia"]
    assert (trivia.task, trivia.rule, trivia.max_new_tokens) == (None, "triviaqa", 256)
    assert (profile.base_model.chat_template, profile.base_model.dtype) == (None, "bfloat16")
    assert profile.grid.train_sizes == [8, 16]
    assert (profile.grid.prompt_loss, profile.grid.replicates) == ({"masked": 0.0, "unmasked": 1.0}, 1)
    assert profile.teacher.model_dump() == {
        "epochs": 3.0, "min_steps": 0, "steps": None, "tokens": None, "learning_rate": 1e-4, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.0,
        "max_grad_norm": 1.0, "batch_size": 8, "gradient_accumulation": 1, "tokens_per_pass": 2048, "max_length": 1024, "precision": "auto",
        "length_grouped": False, "gradient_checkpointing": False, "checkpoint_minutes": 5.0, "processes": 1, "fsdp": False,
    }  # fmt: skip
    assert profile.student.model_dump() == {**profile.teacher.model_dump(), "seeds": None, "order": "mixed"}
    assert (profile.synthesis.engine, profile.synthesis.shard_size, profile.synthesis.batch_size) == ("auto", 1024, 128)
    assert profile.synthesis.prompt.model_dump() == {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 256}
    assert (profile.synthesis.responses_per_prompt, profile.synthesis.answerer) == (1, "control")
    assert profile.curation.model_dump() == {
        "keep": 8, "near_repeat": 0.8, "seed_copy": 0.8, "attempts": None, "min_agreement": 0.0, "check_arithmetic": False, "drop_echoes": False,
        "drop_non_questions": False, "check_grounding": False, "norm": "2", "band": "middle", "band_quantiles": (1 / 3, 2 / 3), "embedder": "all-MiniLM-L6-v2",
    }  # fmt: skip
    assert (profile.evaluation.batch_size, profile.evaluation.bootstrap) == (32, 10_000)
    assert (profile.synthesis.precision, profile.evaluation.precision) == ("auto", "auto")


def test_a_profile_cannot_be_changed(write):
    profile = load_profile(write())
    with pytest.raises(ValueError, match="frozen"):
        profile.seed = 3


@pytest.mark.parametrize(
    ("old", "new", "key", "value", "accepted"),
    [
        # Unknown keys, at every depth.
        (None, "sede = 3", "sede", "3", "unknown key; accepted here: name, seed, seeds, benchmarks, base_model, grid"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\ntrain_size = 4", "grid.train_size", "4", "accepted here: train_sizes, prompt_loss, arms, selections, replicates"),
        ("keep = 8", "keep = 8\nbands = 'low'", "curation.bands", "'low'", "unknown key; accepted here: keep, near_repeat"),
        ("questions.jsonl\" }", "questions.jsonl\", wher = 1 }", "benchmarks.trivia.source.wher", "1", "accepted here: path, where, limit"),
        ("seeds.jsonl\" }", "seeds.jsonl\", max = 1 }", "seeds.sources.0.max", "1", "accepted here: path, where, limit"),
        ("target = 30", "target = 30\nprompt = { top_k = 5 }", "synthesis.prompt.top_k", "5", "accepted here: temperature, top_p, max_new_tokens"),
        ("[benchmarks.trivia]", "[benchmarks.trivia]\nmetric = 'f1'", "benchmarks.trivia.metric", "'f1'", "accepted here: source, cluster, dev, task, rule"),
        # Wrong types.
        ("train_sizes = [16, 8]", "train_sizes = 'all'", "grid.train_sizes", "'all'", "valid list"),
        ("train_sizes = [16, 8]", "train_sizes = [8, 'x']", "grid.train_sizes.1", "'x'", "valid integer"),
        ("keep = 8", "keep = 8.5", "curation.keep", "8.5", "integer"),
        ("keep = 8", "keep = [8]", "curation.keep", "[8]", "valid integer"),
        ("source = \"tiny-random\"", "source = 3", "base_model.source", "3", "valid string"),
        (None, "teacher = 5", "teacher", "5", "dictionary"),
        # Wrong types that a lenient reader would convert.
        (None, "seed = '7'", "seed", "'7'", "valid integer"),
        (None, "seed = true", "seed", "True", "valid integer"),
        (None, "student = { seeds = 'yes' }", "student.seeds", "'yes'", "valid integer"),
        (None, "teacher = { epochs = '3' }", "teacher.epochs", "'3'", "valid number"),
        # Impossible values.
        ("train_sizes = [16, 8]", "train_sizes = [0, 8]", "grid.train_sizes.0", "0", "greater than or equal to 1"),
        ("train_sizes = [16, 8]", "train_sizes = [8, 8]", "grid.train_sizes", "[8, 8]", "sizes must be distinct"),
        ("train_sizes = [16, 8]", "train_sizes = []", "grid.train_sizes", "[]", "at least 1 item"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nreplicates = 0", "grid.replicates", "0", "greater than or equal to 1"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { half = 1.5 }", "grid.prompt_loss.half", "1.5", "less than or equal to 1"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { half = -0.1 }", "grid.prompt_loss.half", "-0.1", "greater than or equal to 0"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { half = nan }", "grid.prompt_loss.half", "nan", "finite number"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = {}", "grid", "{}", "no arm; give `prompt_loss`, or [grid.arms.NAME]"),
        ("target = 30", "target = 30\nprompt = { top_p = 0 }", "synthesis.prompt.top_p", "0", "greater than 0"),
        ("target = 30", "target = 30\nresponse = { top_p = 1.01 }", "synthesis.response.top_p", "1.01", "less than or equal to 1"),
        ("target = 30", "target = 30\nprompt = { temperature = -1 }", "synthesis.prompt.temperature", "-1", "greater than or equal to 0"),
        ("target = 30", "target = 30\nengine = 'tgi'", "synthesis.engine", "'tgi'", "'auto', 'transformers' or 'vllm'"),
        ("target = 30", "target = 0", "synthesis.target", "0", "greater than or equal to 1"),
        ("max_attempts = 48", "max_attempts = 29", "synthesis", "29", "max_attempts = 29 can never give target = 30 rows"),
        ("keep = 8", "keep = 8\nband_quantiles = [0.7, 0.3]", "curation.band_quantiles", "[0.7, 0.3]", "first quantile must be below the second"),
        ("keep = 8", "keep = 8\nband_quantiles = [0.5, 0.5]", "curation.band_quantiles", "[0.5, 0.5]", "first quantile must be below the second"),
        ("keep = 8", "keep = 8\nband_quantiles = [0.5]", "curation.band_quantiles.1", "", "required"),
        ("keep = 8", "keep = 8\nband = 'mid'", "curation.band", "'mid'", "'none', 'low', 'middle', 'high' or 'random'"),
        ("keep = 8", "keep = 8\nnorm = '1'", "curation.norm", "'1'", "'2' or 'inf'"),
        ("keep = 8", "keep = 0", "curation.keep", "0", "greater than or equal to 1"),
        (None, "teacher = { learning_rate = 0 }", "teacher.learning_rate", "0", "greater than 0"),
        (None, "teacher = { learning_rate = inf }", "teacher.learning_rate", "inf", "finite number"),
        (None, "teacher = { epochs = 0 }", "teacher.epochs", "0", "greater than 0"),
        (None, "teacher = { warmup = 1.1 }", "teacher.warmup", "1.1", "less than or equal to 1"),
        (None, "teacher = { precision = 'fp8' }", "teacher.precision", "'fp8'", "'auto', 'bf16' or 'fp32'"),
        ("sources = [{ path = \"rows/seeds.jsonl\" }]", "sources = []", "seeds.sources", "[]", "at least 1 item"),
        ("seeds.jsonl\" }", "seeds.jsonl\", limit = 0 }", "seeds.sources.0.limit", "0", "greater than or equal to 1"),
        ("[benchmarks.trivia]", "[benchmarks.trivia]\ntask = 'triviaqa'", "benchmarks.trivia", "triviaqa", "either `source` (local questions) or `task`"),
        ("source = { path = \"questions.jsonl\" }", "rule = 'gsm8k'", "benchmarks.trivia", "gsm8k", "either `source` (local questions) or `task`"),
        ("source = { path = \"questions.jsonl\" }", "task = 'x'\nrule = 'bleu'", "benchmarks.trivia.rule", "'bleu'", "'gsm8k' or 'triviaqa'"),
        # Names that become folders.
        (None, "name = '../x'", "name", "'../x'", "use letters, digits, '.', '_' and '-'"),
        (None, "name = '.hidden'", "name", "'.hidden'", "use letters, digits"),
        (None, "name = ''", "name", "''", "use letters, digits"),
        (None, f"name = '{'x' * 65}'", "name", "xxx", "at most 64"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { '../x' = 1 }", "grid.prompt_loss", "../x", "use letters, digits"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { 'a|b' = 1 }", "grid.prompt_loss", "a|b", "use letters, digits"),
        ("train_sizes = [16, 8]", "train_sizes = [8]\nprompt_loss = { 'a/b' = 1 }", "grid.prompt_loss", "a/b", "use letters, digits"),
        ("[benchmarks.trivia]", "[benchmarks.'../x']", "benchmarks", "../x", "use letters, digits"),
        # Not for the user to set.
        (None, "folder = '/tmp'", "folder", "", "unknown key"),
    ],
)  # fmt: skip
def test_a_fault_names_file_key_value_and_what_is_accepted(write, old, new, key, value, accepted):
    path = write(new, old)
    message = problem(path)
    assert re.search(rf"^{re.escape(path)}: {re.escape(key)}( = |:)", message, re.MULTILINE), message
    assert value in message
    assert accepted in message


@pytest.mark.parametrize("section", ["seeds", "benchmarks", "base_model", "grid", "synthesis", "curation"])
def test_a_missing_section_is_named(tmp_path, section):
    parts = [part for part in re.split(r"(?m)^(?=\[)", MINIMAL) if not re.match(rf"\[{section}[.\]]", part)]
    path = tmp_path / "mine.toml"
    path.write_text("".join(parts), encoding="utf-8")
    assert problem(str(path)) == f"{path}: {section}: missing; this key is required"


def test_every_fault_is_told_at_once(write):
    message = problem(write("train_sizes = [0]\nreplicates = 0", "train_sizes = [16, 8]"))
    assert [line.split(": ")[1] for line in message.splitlines()] == ["grid.train_sizes.0 = 0", "grid.replicates = 0"]


def test_the_budget_counts_every_response_of_a_prompt(write):
    profile = load_profile(write("max_attempts = 15\nresponses_per_prompt = 2", "max_attempts = 48"))
    assert profile.synthesis.max_attempts == 15


@pytest.mark.parametrize("asked", ["", "min_agreement = 0.5"])
def test_sampling_stops_for_the_share_that_curation_asks_for_and_no_other(write, asked):
    stopping = "max_attempts = 48\nresponses_per_prompt = 4\nstop_at_agreement = 0.75"
    message = problem(write(f"{stopping}\n[curation]\n{asked}", "max_attempts = 48\n\n[curation]"))
    assert "synthesis.stop_at_agreement = 0.75, but curation.min_agreement = " in message
    assert message.endswith("give both the same share, or leave stop_at_agreement out")


VERIFIERS = '[curation]\nverifiers = [{ use = "python:mine.py:solve", name = "sum" }]'


@pytest.mark.parametrize(
    ("synthesis", "curation", "words"),
    [
        (
            'stop_at_right = "solve"',
            "",
            "synthesis.stop_at_right = 'solve': no such verifier; curation.verifiers has 'sum'",
        ),
        ('stop_at_right = "sum"', "min_agreement = 0.5", "how many responses agree is not known"),
        ('stop_at_right = "sum"\nstop_at_agreement = 0.0', "", "how many responses agree is not known"),
    ],
)
def test_sampling_stops_at_a_right_response_where_a_verifier_tells_it_and_no_votes_are_asked(
    write, synthesis, curation, words
):
    text = f"max_attempts = 48\nresponses_per_prompt = 4\n{synthesis}\n{VERIFIERS}\n{curation}"
    assert words in problem(write(text, "max_attempts = 48\n\n[curation]"))


def test_a_file_that_is_not_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[seeds\nsources = 3", encoding="utf-8")
    message = problem(str(path))
    assert message.startswith(f"{path}: not a valid TOML file: ")
    assert "line 1" in message


def test_a_file_that_is_not_utf8(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"# caf\xe9\n" + MINIMAL.encode())
    assert problem(str(path)).startswith(
        f"{path}: not a valid TOML file: 'utf-8' codec can't decode byte 0xe9 in position 5"
    )


def test_an_unknown_name_lists_those_that_ship():
    message = problem("quickstrat")
    assert message.startswith("profile 'quickstrat': no file ")
    assert message.endswith(f"one of: {', '.join(SHIPPED)}")


@pytest.mark.parametrize("name", ["no/such.toml", "mine.toml", "./"])
def test_a_path_without_a_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert problem(name).startswith(f"profile {name!r}: no file ")


def test_a_bare_name_is_never_a_file_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "smoke").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    assert profile_path("smoke") == PROFILES / "smoke.toml"


def test_the_environment_names_the_profile(write, monkeypatch):
    monkeypatch.setenv("NOMAD_PROFILE", "smoke")
    assert load_profile().name == "smoke"
    monkeypatch.setenv("NOMAD_PROFILE", write())
    assert load_profile().name == "mine"
    assert load_profile("smoke").name == "smoke"
    monkeypatch.setenv("NOMAD_PROFILE", "")
    assert load_profile().name == "quickstart"
    monkeypatch.delenv("NOMAD_PROFILE")
    assert load_profile().name == "quickstart"


def test_relative_paths_start_at_the_profile(write, tmp_path, monkeypatch):
    write()
    monkeypatch.chdir(tmp_path.parent)
    profile = load_profile(f"{tmp_path.name}/mine.toml")
    assert profile.resolve("rows/seeds.jsonl") == str(tmp_path / "rows" / "seeds.jsonl")
    assert profile.resolve("../other.csv") == str(tmp_path.parent / "other.csv")
    assert profile.resolve("/srv/rows.csv") == "/srv/rows.csv"
    assert profile.resolve("hf://owner/name") == "hf://owner/name"


def test_a_file_whose_name_cannot_name_a_folder(tmp_path):
    path = tmp_path / "my profile.toml"
    path.write_text(MINIMAL)
    assert problem(str(path)) == f"{path}: name = 'my profile': use letters, digits, '.', '_' and '-', at most 64"
    path.write_text(f"name = 'fine'\n{MINIMAL}")
    assert load_profile(str(path)).name == "fine"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{ start = 5, most = 4 }", "grid.replicates.most = 4: Input should be greater than or equal to 5"),
        ("{ start = 3, most = 9 }", "grid.replicates.start = 3: Input should be greater than or equal to 5"),
        ("{ start = 9, most = 9 }", "start = 9 leaves nothing to decide before most = 9; give a larger most"),
        ("{ most = 9 }", "grid.replicates.start: missing; this key is required"),
        ("{ start = 5, most = 9, every = 2 }", "grid.replicates.every = 2: unknown key; accepted here: start, most"),
    ],
)
def test_an_impossible_rule_for_looks_is_refused(write, rule, said):
    with pytest.raises(NomadError) as refused:
        load_profile(write(f"train_sizes = [8]\nreplicates = {rule}", "train_sizes = [16, 8]"))
    assert said in str(refused.value)


def test_replicates_may_be_a_number_or_looks(write):
    assert load_profile(write()).grid.most_replicates == 1
    grid = load_profile(write("train_sizes = [8]\nreplicates = { start = 5, most = 12 }", "train_sizes = [16, 8]")).grid
    assert (grid.most_replicates, grid.looks.start) == (12, 5)
