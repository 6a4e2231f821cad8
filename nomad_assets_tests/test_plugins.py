"""Plug-ins from a package that pip installed and from files: found, digested, loaded, refused."""

import importlib
import re
import sys
from pathlib import Path

import polars as pl
import pytest

from nomad_assets import plugins
from nomad_assets.errors import NomadError
from nomad_assets.plugins import Plugin, locate
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.sections import Benchmark, Curation, Synthesis
from nomad_assets.recipe.curation.curate import rule_verdicts
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.evaluation.benchmarks import question_table, scorer_of
from nomad_assets.recipe.evaluation.evaluate import evaluate
from nomad_assets.recipe.generation.engine import open_engine
from nomad_assets.recipe.generation.synthesis import synthesize
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns
from nomad_assets_tests.plugin_files import install_toy, write_plugin

PROFILE = """\
[seeds]
sources = [{{ path = "{seeds}" }}]

[benchmarks.trivia]
source = {{ path = "questions.jsonl" }}
rule = "{rule}"

[base_model]
source = "tiny-random"

[grid]
train_sizes = [8]

[synthesis]
target = 30
max_attempts = 48
engine = "{engine}"

[curation]
keep = 8
filters = [{filters}]
"""
DEFAULTS = {"seeds": "seeds.jsonl", "rule": "triviaqa", "engine": "auto", "filters": ""}


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def installed(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy package on sys.path, as it stands on disk."""
    monkeypatch.syspath_prepend(str(toy))
    monkeypatch.delitem(sys.modules, "nomad_toy_plugins", raising=False)
    monkeypatch.setattr(plugins, "_IMPORTED", {})
    return toy


@pytest.fixture
def profile(tmp_path: Path):
    """Writes a profile and gives its path."""

    def write(**settings: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(PROFILE.format(**{**DEFAULTS, **settings}), encoding="utf-8")
        return str(path)

    return write


def in_a_file(folder: Path, source: str, name: str = "rule", kind: str = "filters") -> Plugin:
    write_plugin(folder, source)
    return locate(kind, f"python:mine.py:{name}", folder, "curation.filters.0.use")


def problem(work) -> str:
    with pytest.raises(NomadError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "attribute"),
    [
        ("filters", "question", "asks"),
        ("verifiers", "known_answer", "KnownAnswer"),
        ("scorers", "contains", "contains"),
        ("engines", "parrot", "Parrot"),
        ("sources", "capitals", "capitals"),
    ],
)
def test_a_package_offers_a_plug_in_of_each_kind(installed: Path, kind: str, name: str, attribute: str) -> None:
    found = locate(kind, name, Path("nowhere"), "key")
    assert "nomad_toy_plugins" not in sys.modules, "it is digested without being run"
    assert (found.identity["distribution"], found.identity["version"]) == ("nomad-toy-plugins", "1.2")
    assert found.load().__name__ == attribute
    assert found.file == installed / "nomad_toy_plugins.py"


def test_a_name_of_another_kind_is_unknown(installed: Path) -> None:
    message = problem(lambda: locate("filters", "parrot", Path("nowhere"), "curation.filters.0.use"))
    assert message == (
        "curation.filters.0.use = 'parrot': no such plug-in; give python:FILE.py:NAME, or an entry point of the group "
        "nomad_assets.filters (question)"
    )


def test_a_profile_names_plug_ins_by_key(installed: Path, profile, tmp_path: Path) -> None:
    write_plugin(tmp_path, "def rows():\n    yield {}\ndef short(row):\n    return True\n")
    path = profile(
        seeds="python:mine.py:rows", rule="contains", engine="parrot",
        filters='{ use = "question" }, { use = "python:mine.py:short", options = { fewest = 3 } }',
    )  # fmt: skip
    loaded = load_profile(path)
    found = plugins.in_profile(loaded)
    assert {key: plugin.use for key, plugin in found.items()} == {
        "curation.filters.0.use": "question", "curation.filters.1.use": "python:mine.py:short", "synthesis.engine": "parrot",
        "benchmarks.trivia.rule": "contains", "seeds.sources.0.path": "python:mine.py:rows",
    }  # fmt: skip
    assert loaded.curation.model_dump(mode="json")["filters"][1]["options"] == {"fewest": 3}
    assert loaded.resolve("python:mine.py:rows") == f"python:{tmp_path}/mine.py:rows"
    assert loaded.resolve("plugin:capitals") == "plugin:capitals"


def test_a_profile_without_plug_ins_names_none(profile) -> None:
    loaded = load_profile(profile())
    assert plugins.in_profile(loaded) == {}
    assert "filters" not in loaded.curation.model_dump() and "options" not in loaded.seeds.sources[0].model_dump()


@pytest.mark.parametrize(
    ("settings", "key", "accepted"),
    [
        ({"engine": "parot"}, "synthesis.engine = 'parot'", "'auto', 'transformers' or 'vllm', or python:FILE.py:NAME, or an entry point of the group nomad_assets.engines (parrot)"),
        ({"rule": "contans"}, "benchmarks.trivia.rule = 'contans'", "'gsm8k' or 'triviaqa', or python:FILE.py:NAME, or an entry point of the group nomad_assets.scorers (contains)"),
        ({"filters": "{ use = 'parrot' }"}, "curation.filters.0.use = 'parrot'", "nomad_assets.filters (question)"),
        ({"filters": "{ use = 'python:mine.txt:f' }"}, "curation.filters.0.use", "python:FILE.py:NAME"),
        ({"filters": "{ use = 'python:mine.py' }"}, "curation.filters.0.use", "python:FILE.py:NAME"),
        ({"filters": "{ use = 'question', option = {} }"}, "curation.filters.0.option", "unknown key; accepted here: seconds, use, name, options"),
        ({"filters": "{ use = 'question' }, { use = 'question' }"}, "curation.filters", "two are named 'question'; give each a `name`"),
        ({"filters": "{ use = 'question', name = 'a/b' }"}, "curation.filters", "use letters, digits"),
        ({"filters": "{ use = 'question', options = { most = nan } }"}, "curation.filters.0.options.most", "finite number"),
        ({"seeds": "python:rows"}, "seeds.sources.0.path = 'python:rows'", "python:FILE.py:NAME"),
        ({"seeds": "plugin:capital"}, "seeds.sources.0.path = 'plugin:capital'", "nomad_assets.sources (capitals)"),
        ({"seeds": "a.jsonl\", options = { least = 1 }, license = \"mit"}, "seeds.sources.0", "`options` are for a plug-in"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_when_the_profile_is_loaded(
    installed: Path, profile, settings: dict, key: str, accepted: str
) -> None:
    path = profile(**settings)
    message = problem(lambda: load_profile(path))
    assert message.startswith(f"{path}: {key}") and accepted in message


def test_one_name_in_two_packages_is_refused(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[nomad_assets.filters]\nquestion = other:asks\nlost = other.gone:asks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = problem(lambda: locate("filters", "question", tmp_path, "key"))
    assert "key = 'question': nomad-toy-plugins, other all offer a plug-in of that name" in message
    assert "names the module other.gone, which is not there" in problem(
        lambda: locate("filters", "lost", tmp_path, "key")
    )


# What is wrong with a file.


def test_a_missing_file_names_key_value_and_where_paths_start(tmp_path: Path) -> None:
    message = problem(lambda: locate("filters", "python:gone.py:rule", tmp_path, "curation.filters.0.use"))
    assert message.startswith(
        f"curation.filters.0.use = 'python:gone.py:rule': {tmp_path}/gone.py could not be read: No such"
    )
    assert message.endswith("with a path relative to the profile's folder")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def other(row): ...\nclass Thing: ...\n_hidden = print\n", "mine.py has no 'rule'; it has other, Thing"),
        ("import nowhere_at_all\n", "it raised ModuleNotFoundError: No module named 'nowhere_at_all' (while "),
        ("def rule(:\n", "it raised SyntaxError: "),
        ("raise SystemExit(3)\n", "it raised SystemExit: 3"),
    ],
)
def test_code_that_cannot_be_loaded_says_why(tmp_path: Path, source: str, words: str) -> None:
    plugin = in_a_file(tmp_path, source)
    message = problem(plugin.load)
    assert message.startswith("curation.filters.0.use = 'python:mine.py:rule': ") and words in message
    assert problem(plugin.load) == message, "what ran half-way is not taken for the module"


# The digest.


def test_changed_source_changes_the_digest_and_is_run(tmp_path: Path) -> None:
    first = in_a_file(tmp_path, "def rule(row): return True\n")
    again = in_a_file(tmp_path, "def rule(row): return True\n")
    assert first.digest == again.digest and first.load()({}) is True
    second = in_a_file(tmp_path, "def rule(row): return False\n")
    assert second.digest != first.digest and re.fullmatch("[0-9a-f]{64}", second.digest)
    assert second.load()({}) is False, "a process that goes on runs the new code"
    assert "changed while the step was running" in problem(first.load)


def test_the_digest_does_not_depend_on_where_the_profile_lies(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (in_a_file(folder, "def rule(row): ...\n") for folder in folders)
    assert first.identity == second.identity and first.file != second.file
    other = locate("filters", "python:../b/mine.py:rule", folders[0], "key")
    assert other.file.read_bytes() == second.file.read_bytes() and other.digest != second.digest, "another name"


def test_a_package_is_digested_by_version_and_source(toy: Path, installed: Path, tmp_path: Path) -> None:
    before = locate("filters", "question", tmp_path, "key")
    before.load()
    source, metadata = toy / "nomad_toy_plugins.py", next(toy.glob("*.dist-info")) / "METADATA"
    texts = {path: path.read_text(encoding="utf-8") for path in (source, metadata)}
    try:
        source.write_text(texts[source] + "\n# changed\n", encoding="utf-8")
        changed = locate("filters", "question", tmp_path, "key")
        assert changed.digest != before.digest
        assert "changed after this process had imported it; start the process again" in problem(changed.load)
        source.write_text(texts[source], encoding="utf-8")
        metadata.write_text(texts[metadata].replace("Version: 1.2", "Version: 1.3"), encoding="utf-8")
        importlib.invalidate_caches()
        plugins._found.cache_clear()
        newer = locate("filters", "question", tmp_path, "key")
        assert newer.identity == {**before.identity, "version": "1.3"} and newer.digest != before.digest
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        plugins._found.cache_clear()


def test_a_dataclass_in_a_file_can_look_its_module_up(tmp_path: Path) -> None:
    source = "from __future__ import annotations\nimport dataclasses, pickle\n"
    source += "@dataclasses.dataclass\nclass Found:\n    n: int\ndef rule(row):\n    return pickle.loads(pickle.dumps(Found(3))).n\n"
    assert in_a_file(tmp_path, source).load()({}) == 3


# Built-in ones.


def test_built_in_ones_are_the_modules_of_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugins.built_in_names("scorers") == ["gsm8k", "triviaqa"]
    assert plugins.built_in_names("engines") == ["transformers", "vllm"]
    from nomad_assets.recipe import generation

    write_plugin(tmp_path, "ENGINE = 'mine'\n", "abacus_engine.py")
    monkeypatch.setattr(generation, "__path__", [*generation.__path__, str(tmp_path)])
    assert plugins.built_in_names("engines") == ["abacus", "transformers", "vllm"]
    assert plugins.built_in("engines", "abacus") == "mine"
    monkeypatch.delitem(sys.modules, "nomad_assets.recipe.generation.abacus_engine")


# All of them at work.


def test_an_installed_filter_and_verifier_judge_rows(installed: Path, tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {"id": ["0", "1", "2"], "prompt": ["Name Peru's capital", "What is the capital of Peru?", "Is Peru big?"],
         "response": ["Lima", "Quito", "Yes"], "prompt_end": "completed", "response_end": "completed", "final_answer": "x",
         "agreement": 1.0, "majority_answer": True}
    )  # fmt: skip
    settings = Curation(
        keep=3, filters=[{"use": "question"}], verifiers=[{"use": "known_answer", "options": {"countries": ["Peru"]}}]
    )
    seeds = pl.DataFrame({"id": ["s"], "prompt": ["a seed"]})
    found = rule_verdicts(rows, seeds, [], settings, plugins=plugins.locate_rules(settings, tmp_path))
    assert [(v.reason, v.evidence, v.similarity) for v in found] == [
        ("filter.question", None, None), ("verifier.known_answer", "Lima", 0.25), ("kept", None, None),
    ]  # fmt: skip


def test_an_installed_source_is_validated_like_a_file(installed: Path) -> None:
    rows = read_source("plugin:capitals", where={"id": ["France", "Japan"]}, options={"least": 1})
    assert [(row.source, row.number, row.given_id, row.response) for row in rows.rows] == [
        ("plugin:capitals", 1, "France", "Paris"), ("plugin:capitals", 2, "Japan", "Tokyo"),
    ]  # fmt: skip
    assert rows.formats == {"prompt + response": 2}


def test_an_installed_engine_writes_a_corpus(installed: Path, tiny_model: Path, tmp_path: Path) -> None:
    turns = Turns(load_tokenizer(tiny_model), "tiny")
    engine = open_engine(
        "parrot", tiny_model, batch_size=4, max_length=64, pad_id=turns.pad,
        plugin=locate("engines", "parrot", tmp_path, "synthesis.engine"),
    )  # fmt: skip
    assert (engine.name, engine.precision, engine.engine.needs.max_length) == ("parrot", "fp32", 64)
    settings = Synthesis(target=2, max_attempts=4)
    corpus = synthesize(
        settings, engine, lambda: (engine, turns), turns, seed_parts=(0,), cell="8/masked", scratch=tmp_path
    )
    assert corpus.select("prompt", "response").rows() == [("r", "t")] * 4, (
        "the ends of the headers of user and assistant"
    )
    engine.close()
    assert engine.engine.needs is None


def test_an_installed_scorer_scores_a_model(installed: Path, tiny_model: Path, tmp_path: Path) -> None:
    benchmark = Benchmark(source={"path": "q.jsonl"}, rule="contains", max_new_tokens=4)
    scorer = locate("scorers", "contains", tmp_path, "benchmarks.capitals.rule")
    rows = read_source("plugin:capitals")
    questions = question_table("capitals", scorer_of("contains", scorer), rows)
    found = evaluate(
        tiny_model, {"capitals": benchmark}, questions, batch_size=4, resamples=10, seed=0, plugins={"capitals": scorer}
    )
    metrics = found.results.group_by("metric", maintain_order=True).len().rows()
    assert metrics == [("exact_match", 3), ("words", 3), ("answer_logprob", 3)]
    spoken = {row["question_id"]: row["response"] for row in found.responses.iter_rows(named=True)}
    words = found.results.filter(metric="words")
    assert {row["question_id"]: row["value"] for row in words.iter_rows(named=True)} == {
        question: float(len(text.split())) for question, text in spoken.items()
    }
