"""docs/plug-ins.md: its file is written, its settings are loaded, and every plug-in on it does what the page says."""

import re
import tomllib
from pathlib import Path

import polars as pl
import pytest

from nomad_assets import plugins
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.curation.curate import rule_verdicts
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.evaluation.benchmarks import scorer_of
from nomad_assets.recipe.generation.engine import Generation, Request, open_engine

PAGE = Path(__file__).parents[1] / "docs" / "plug-ins.md"
REST = """
[base_model]
source = "tiny-random"
[grid]
train_sizes = [8]
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """The page's settings in one profile, beside the page's file."""
    (code,) = blocks("python")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    settings = "".join(block for block in blocks("toml") if "entry-points" not in block) + REST
    settings = settings.replace("[synthesis]\n", "[synthesis]\ntarget = 30\nmax_attempts = 30\n")
    (tmp_path / "page.toml").write_text(f"curation.keep = 9\n{settings}", encoding="utf-8")
    (tmp_path / "tickets.jsonl").write_text(
        '{"key": "T1", "team": "billing", "question": "2 + 3?", "reply": "5"}\n{"team": "sales"}\n', encoding="utf-8"
    )
    return load_profile(str(tmp_path / "page.toml"))


def test_the_page_names_a_plug_in_of_each_kind(profile: Profile) -> None:
    assert list(plugins.in_profile(profile)) == [
        "curation.filters.0.use", "curation.filters.1.use", "curation.verifiers.0.use",
        "curation.verifiers.1.use", "synthesis.engine",
        "benchmarks.held_out.rule", "seeds.sources.0.path",
    ]  # fmt: skip
    (package,) = (block for block in blocks("toml") if "entry-points" in block)
    assert list(tomllib.loads(package)["project"]["entry-points"]) == [plugins.GROUP.format("filters")]


def verdicts(profile: Profile, prompts: list[str], responses: list[str], **curation) -> list[tuple]:
    rows = pl.DataFrame(
        {"id": list("0123")[: len(prompts)], "prompt": prompts, "response": responses,
         "prompt_end": "completed", "response_end": "completed", "final_answer": "x", "agreement": 1.0, "majority_answer": True}
    )  # fmt: skip
    seeds = pl.DataFrame({"id": ["s"], "prompt": ["a seed"]})
    settings = profile.curation.model_copy(update=curation)
    found = rule_verdicts(rows, seeds, [], settings, plugins=plugins.locate_rules(settings, profile.folder))
    return [(v.reason, v.evidence) for v in found]


def test_its_filters_and_verifier_judge(profile: Profile) -> None:
    prompts, responses = ["2+3?", "2 + Anna 3", "2 + 3?", "4 + 4?"], ["5", "5", "5", "9"]
    assert verdicts(profile, prompts, responses) == [
        ("filter.too_short", "1 words"), ("filter.anna", "Anna"), ("kept", None), ("verifier.right_sum", None),
    ]  # fmt: skip


def test_its_verifier_that_computes_an_answer_compares_by_a_benchmarks_rule(profile: Profile) -> None:
    prompts = ["What is 3 times 4?", "What is 3 times 5?", "Who?"]
    alone = {"filters": [], "verifiers": [rule for rule in profile.curation.verifiers if rule.scorer]}
    assert verdicts(profile, prompts, ["#### 12", "#### 12", "#### 12"], **alone) == [
        ("kept", None), ("verifier.solve", "right is 15"), ("kept", None),
    ]  # fmt: skip


def test_its_scorer_source_and_engine_work(profile: Profile) -> None:
    found = plugins.in_profile(profile)
    scorer = scorer_of("python:mine.py:one_of", found["benchmarks.held_out.rule"])
    assert scorer.score_question("q", " Lima", ["Lima"]) == {"exact_match": 1.0, "words": 1.0}
    source = profile.seeds.sources[0]
    (row,) = read_source(profile.resolve(source.path), options=source.options).rows
    assert (row.given_id, row.prompt, row.response) == ("T1", "2 + 3?", "5")
    engine = open_engine("x", profile.folder, batch_size=1, max_length=8, pad_id=0, plugin=found["synthesis.engine"])
    assert engine.generate([Request([1, 2, 3], 0)], Sampling(max_new_tokens=2), set()) == [Generation([1, 2], True)]
