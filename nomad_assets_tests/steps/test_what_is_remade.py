"""Every key of a profile, and the steps that are made again when it changes: a table written by hand.

A step stands here when the key is part of its own config. Steps below it follow when what they read of it comes out another.
"""

import os
import shutil
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from nomad_assets.engine.fingerprint import flat, settings_of
from nomad_assets.grid import Grid
from nomad_assets.profile.fields import Operational, Section
from nomad_assets.profile.sections import Profile
from nomad_assets.steps import GRAPH
from nomad_assets_tests.steps.profile_files import CELLS, ProfileFiles

NOTHING: set[str] = set()
POOL = {"seed_examples", "base_model"}  # the tiny model's tokenizer is trained on the seeds
QUESTIONS = {"benchmark_questions", "seed_examples"}  # no seed may be a question
SCORES = {"student_scores", "control_scores", "base_scores"}
TRAINED = {"teacher_model", "student_model", "control_model"}
STUDENTS = {"student_model", "control_model"}
REPORT = {"recipe_report"}
ALL = set(GRAPH)

# Key -> (another value, what is made again); with a third entry, what has to be set before.
TABLE: dict[str, tuple] = {
    "name": ("other", REPORT),
    "seed": (9, ALL - {"benchmark_questions", "curated_corpus", "seed_subset"}),
    "seeds.sources.0.path": ("other_seeds.jsonl", POOL),
    "seeds.sources.0.where": ({"level": [1]}, POOL),
    "seeds.sources.0.limit": (9, POOL),
    "seeds.sources.0.license": ("mit", NOTHING),
    "seeds.sources.0.options": ({"language": "de"}, POOL, {"seeds.sources.0.path": "python:reader.py:rows"}),
    "benchmarks.trivia.task": (
        "gsm8k", {*SCORES, *REPORT}, {"benchmarks.trivia.source": None, "benchmarks.trivia.task": "triviaqa"},
    ),
    "benchmarks.trivia.rule": ("gsm8k", {*QUESTIONS, *SCORES, *REPORT}),
    "benchmarks.trivia.max_new_tokens": (9, SCORES),
    "benchmarks.trivia.source.path": ("other_questions.jsonl", QUESTIONS),
    "benchmarks.trivia.source.where": ({"level": [1]}, QUESTIONS),
    "benchmarks.trivia.source.limit": (9, QUESTIONS),
    "benchmarks.trivia.source.license": ("mit", NOTHING),
    "benchmarks.trivia.source.options": ({"a": 1}, QUESTIONS, {"benchmarks.trivia.source.path": "python:reader.py:rows"}),
    "base_model.source": ("model", {"base_model", *REPORT}),
    "base_model.chat_template": ("chat.jinja", {"base_model"}),
    "base_model.dtype": ("float32", {"base_model", *TRAINED}),
    "base_model.license": ("mit", NOTHING),
    "grid.train_sizes": ([8, 16, 32], REPORT),
    "grid.prompt_loss": ({"masked": 0.0, "unmasked": 0.5}, {"teacher_model", *REPORT}),
    "grid.replicates": (2, REPORT),
    **{
        f"{section}.{key}": (value, expected)
        for section, expected in (("teacher", {"teacher_model"}), ("student", STUDENTS))
        for key, value in {
            "epochs": 9.0, "min_steps": 9, "learning_rate": 0.5, "schedule": "linear", "warmup": 0.5, "weight_decay": 0.5,
            "max_grad_norm": 9.0, "batch_size": 9, "gradient_accumulation": 9, "tokens_per_pass": 9, "max_length": 99,
            "precision": "fp32", "length_grouped": True, "gradient_checkpointing": True, "processes": 9,
        }.items()
    },
    **{
        f"{section}.{key}": (value, NOTHING)
        for section in ("teacher", "student")
        for key, value in {"checkpoint_minutes": 1.0, "fsdp": True}.items()
    },
    # Curation refuses to keep nothing where students have nothing else to be trained on.
    "student.include_seeds": (False, {"student_model", "curated_corpus", *REPORT}),
    "synthesis.engine": ("vllm", {"synthetic_corpus"}),
    "synthesis.target": (13, {"synthetic_corpus"}),
    "synthesis.max_attempts": (49, {"synthetic_corpus"}),
    "synthesis.shard_size": (9, {"synthetic_corpus"}),
    "synthesis.precision": ("fp32", {"synthetic_corpus"}),
    "synthesis.batch_size": (9, NOTHING),
    **{
        f"synthesis.{turn}.{key}": (value, {"synthetic_corpus"})
        for turn in ("prompt", "response")
        for key, value in {"temperature": 0.5, "top_p": 0.5, "max_new_tokens": 9}.items()
    },
    "synthesis.responses_per_prompt": (2, {"synthetic_corpus"}),
    "synthesis.answerer": ("model", {"synthetic_corpus"}),
    "synthesis.answerer_chat_template": ("chatml", {"synthetic_corpus"}),
    "curation.keep": (9, {"curated_corpus", *REPORT}),
    "curation.near_repeat": (0.5, {"curated_corpus"}),
    "curation.seed_copy": (0.5, {"curated_corpus"}),
    "curation.min_agreement": (0.5, {"curated_corpus"}),
    "curation.check_arithmetic": (True, {"curated_corpus"}),
    "curation.norm": ("inf", {"curated_corpus", "corpus_profile"}),
    "curation.band": ("low", {"curated_corpus", *REPORT}),
    "curation.band_quantiles": ([0.1, 0.2], {"curated_corpus"}),
    "curation.embedder": ("model", {"curated_corpus", *REPORT}),
    **{
        f"curation.{kind}.0.{key}": (value, {"curated_corpus"}, {f"curation.{kind}": [{"use": "python:rule.py:odd"}]})
        for kind in ("filters", "verifiers")
        for key, value in {"use": "python:rule.py:even", "name": "strange", "options": {"most": 3}}.items()
    },
    "evaluation.precision": ("fp32", SCORES),
    "evaluation.bootstrap": (9, {*SCORES, *REPORT}),
    "evaluation.batch_size": (9, NOTHING),
    "checks.min_prompt_completion": (0.9, NOTHING),
    "checks.max_seed_copies": (0.9, NOTHING),
    "automation.checks_at": ("0 7 * * *", NOTHING),
    "automation.fresh_days": (9.0, NOTHING),
    "openlineage": ("events.jsonl", NOTHING),
    "mlflow": ("runs.db", NOTHING),
    "isolate_steps": (True, NOTHING),
    "owners": (["team:other"], NOTHING),
    "price_per_hour": (2.0, NOTHING),
}  # fmt: skip


@pytest.mark.parametrize("key", TABLE)
def test_a_key_changes_the_steps_that_read_it(files: ProfileFiles, key: str) -> None:
    value, expected, *before = TABLE[key]
    for other, first in (before[0] if before else {}).items():
        files.put(other, first)
    assert files.changed(lambda: files.put(key, value)) == expected


def keys_of(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner, steps = _section_in(field.annotation)
        if inner is not None:
            yield from keys_of(inner, f"{prefix}{name}.{steps}")
        elif not field.exclude:
            yield f"{prefix}{name}"


def _section_in(annotation: object) -> tuple[type[Section] | None, str]:
    """The section that a key holds, and how one gets to it: through a list or the names of a dictionary."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, ""
    inner = [found for argument in typing.get_args(annotation) if (found := _section_in(argument))[0]]
    if not inner:
        return None, ""
    section, steps = inner[0]
    plain = typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated)
    return section, steps if plain else f"*.{steps}"


def test_the_table_holds_every_key() -> None:
    in_table = {key.replace(".0.", ".*.").replace("benchmarks.trivia.", "benchmarks.*.") for key in TABLE}
    assert in_table == set(keys_of(Profile))


def test_no_operational_key_is_in_any_fingerprint(files: ProfileFiles) -> None:
    """Neither under its name nor under another."""
    names = {name for section in _operational(Operational) for name in section.model_fields}
    assert {"license", "batch_size", "checkpoint_minutes", "fsdp", "address", "fresh_days"} <= names
    grid = files.grid()
    counted = {"batch_size"}  # of training, where it decides about the content
    for name, step in GRAPH.items():
        settings = settings_of(step.config.of(grid, CELLS[step.over], {}))
        found = {key.rpartition(".")[2] for key, _ in flat(settings)} & names
        assert found <= (counted if name in TRAINED else NOTHING), name


def _operational(section: type[Section]) -> Iterator[type[Section]]:
    for inner in section.__subclasses__():
        if inner.__bases__ == (Operational,) and inner.__module__.startswith("nomad_assets."):
            yield inner


# What lies outside the profile.


def test_the_content_of_sources_counts_and_their_time_does_not(files: ProfileFiles) -> None:
    assert files.changed(lambda: os.utime(files.folder / "seeds.jsonl", (1, 1))) == NOTHING
    assert files.changed(lambda: files.write("seeds.jsonl", '{"prompt": "Who else?", "response": "Me"}')) == POOL
    assert files.changed(lambda: files.write("questions.jsonl", '{"question": "?", "answers": ["x"]}')) == QUESTIONS


def test_the_folder_of_a_base_model_counts(files: ProfileFiles) -> None:
    files.put("base_model.source", "model")
    assert files.changed(lambda: files.write("model/config.json", '{"a": 1}')) == {"base_model"}
    assert files.changed(lambda: files.write("model/tokenizer.json", "{}")) == {"base_model"}


def test_the_content_of_a_chat_template_counts(files: ProfileFiles) -> None:
    files.put("base_model.chat_template", "chat.jinja")
    assert files.changed(lambda: files.write("chat.jinja", "two")) == {"base_model"}


def test_the_content_of_an_answerer_counts(files: ProfileFiles) -> None:
    files.put("synthesis.answerer", "model")
    files.put("synthesis.answerer_chat_template", "chat.jinja")
    assert files.changed(lambda: files.write("model/config.json", '{"a": 1}')) == {"synthetic_corpus"}
    assert files.changed(lambda: files.write("chat.jinja", "two")) == {"synthetic_corpus"}


def test_the_folder_of_an_embedder_counts(files: ProfileFiles) -> None:
    files.put("curation.embedder", "model")
    assert files.changed(lambda: files.write("model/config.json", '{"a": 1}')) == {"curated_corpus"}


def test_the_code_of_a_plug_in_counts(files: ProfileFiles) -> None:
    files.put("curation.filters", [{"use": "python:rule.py:odd"}])
    files.put("seeds.sources.0.path", "python:reader.py:rows")
    assert files.changed(lambda: files.write("rule.py", "def odd(row):\n    return 'no'\n")) == {"curated_corpus"}
    assert files.changed(lambda: files.write("reader.py", "def rows():\n    yield {}\n")) == POOL


def test_a_profile_that_moves_with_its_files_makes_nothing_again(files: ProfileFiles, tmp_path: Path) -> None:
    before = files.fingerprints()
    moved = tmp_path / "elsewhere" / files.folder.name  # rows are said to come from the folder that holds their file
    moved.mkdir(parents=True)
    other = ProfileFiles(moved)
    for name in ("seeds.jsonl", "questions.jsonl"):
        shutil.copy(files.folder / name, moved / name)
    assert other.fingerprints() == before


def test_withdrawn_rows_count_where_seeds_are_read_alone(files: ProfileFiles) -> None:
    rows = {"a" * 16: {"source": "seeds.jsonl", "key": ""}}

    def told(name: str, withdrawn: dict) -> object:
        step = GRAPH[name]
        return settings_of(step.config.of(files.grid(), CELLS[step.over], withdrawn))

    assert {name for name in GRAPH if told(name, rows) != told(name, {})} == POOL
    files.put("base_model.source", "model")
    assert told("base_model", rows) == told("base_model", {})


def test_arms_and_replicates_differ(files: ProfileFiles) -> None:
    files.put("grid.replicates", 2)
    grid: Grid = files.grid()
    for name in ("teacher_model", "synthetic_corpus", "student_model"):
        step = GRAPH[name]
        told = {str(settings_of(step.config.of(grid, cell, {}))) for cell in grid.cells}
        # A student's arm shows in its corpus alone, so that arms of one replicate share everything else.
        assert len(told) == (len(grid.cells) if name != "student_model" else 4), name


def test_the_first_replicate_stays_what_it_was(files: ProfileFiles) -> None:
    assert files.changed(lambda: files.put("grid.replicates", 2)) == REPORT
