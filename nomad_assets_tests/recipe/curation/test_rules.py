"""The rules as modules: what derives from them, what a dropped-in file adds, and the verdicts of before."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

import nomad_assets
from nomad_assets.profile.fields import Section
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation import rules
from nomad_assets.recipe.curation.curate import curate, reasons, rule_verdicts
from nomad_assets.recipe.curation.rule import CorpusRows, Rule
from nomad_assets.recipe.curation.rules import relevance_band
from nomad_assets.recipe.generation.synthesis import COLUMNS

REASONS_SINCE = {
    "later_attempt",
    "echo",
    "not_a_question",
    "ungrounded_number",
    "unused_number",
    "unused_result",
    "unsupported_answer",
}
VERDICTS_OF_BEFORE = "d7ebdbb8cbe5fa107af27b561357393cf412ba8762ca79d5f33ace6710408237"


def test_rules_judge_in_the_documented_order() -> None:
    assert list(rules.all_rules()) == [
        "completion", "attempts", "agreement", "arithmetic", "echoes", "question", "grounding", "repeats", "seed_copies", "benchmark_questions",
        "relevance_band", "target",
    ]  # fmt: skip
    assert list(reasons()) == [
        "not_completed", "later_attempt", "minority_answer", "low_agreement", "wrong_arithmetic", "echo", "not_a_question", "ungrounded_number",
        "unused_number", "unused_result", "unsupported_answer", "exact_repeat", "near_repeat", "seed_copy", "near_seed_copy",
        "contaminated", "outside_band", "over_target",
    ]  # fmt: skip
    assert reasons()["near_seed_copy"] == "the prompt nearly repeats a seed row"


def test_settings_keep_their_order() -> None:
    assert list(Curation.model_fields) == [
        "keep", "near_repeat", "seed_copy", "attempts", "min_agreement", "check_arithmetic", "drop_echoes", "drop_non_questions", "check_grounding",
        "norm", "band", "band_quantiles", "embedder", "filters", "verifiers",
    ]  # fmt: skip
    assert all(field.description for field in Curation.model_fields.values())


def mixed_corpus() -> tuple[pl.DataFrame, pl.DataFrame, list]:
    """Rows of few words, so that they repeat each other, the seeds and the questions, with every other fault as well."""
    draw = random.Random(7)
    words = "red blue old new cat dog tree house seven nine runs eats sees finds in on the a of to".split()

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    seeds = [text(3, 25) for _ in range(40)]
    questions = [(f"trivia-{n}", text(4, 20), [draw.choice(words)]) for n in range(40)]
    rows, prompts = [], []
    for number in range(1500):
        kind = draw.random()
        prompt = text(1, 25)
        if kind < 0.3 and prompts:
            prompt = draw.choice(prompts)
        elif kind < 0.4:
            prompt = draw.choice(seeds)
        elif kind < 0.5:
            prompt = f"{text(1, 3)} {draw.choice(questions)[1]}"
        if draw.random() < 0.3:
            changed = prompt.split()
            changed[draw.randrange(len(changed))] = draw.choice(words)
            prompt = " ".join(changed)
        prompts.append(prompt)
        end = draw.choice(["completed"] * 8 + ["length", "empty"])
        prompt_end = "completed" if end == "completed" else draw.choice(["completed", "malformed"])
        response = f"{text(1, 6)}. {draw.choice(['2 + 2 = 4', '2 + 2 = 5', 'no sum'])}"
        rows.append(
            {"id": f"8/unmasked/{number:06d}-0", "attempt": number, "response_index": 0, "prompt": prompt,
             "prompt_end": prompt_end, "response": response,
             "response_end": end if prompt_end == "completed" else "not_attempted", "final_answer": response,
             "agreement": draw.randint(1, 4) / 4, "majority_answer": draw.random() < 0.9, "prompt_tokens": 3,
             "response_tokens": 2, "prompt_seed": number, "response_seed": number}
        )  # fmt: skip
    table = pl.DataFrame({"id": [f"seed{n}" for n in range(40)], "prompt": seeds})
    return pl.DataFrame(rows, schema=COLUMNS), table, questions


def all_verdicts() -> list[list]:
    corpus, seeds, questions = mixed_corpus()
    done = corpus.filter(pl.col("response_end") == "completed").height
    angles = np.random.default_rng(3).random(done).astype(np.float32)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found: list[list] = []
    for changes in (
        {},
        {"check_arithmetic": True, "min_agreement": 0.5, "near_repeat": 0.6, "seed_copy": 1.0, "norm": "inf"},
    ):
        settings = Curation(keep=100, band_quantiles=(0.2, 0.9), **changes)
        found += [[v.reason, v.evidence, v.similarity] for v in rule_verdicts(corpus, seeds, questions, settings)]
        pool = np.eye(2, dtype=np.float32)
        curated = curate(corpus, seeds, pool, pool[[0] * 40], vectors, questions, settings)
        # Bounds and similarities of the band depend on the machine's arithmetic, which rows it keeps does not.
        found += [list(row) for row in curated.select("verdict", "reason").iter_rows()]
    return found


def test_verdicts_are_those_of_the_version_in_which_all_rules_were_one_function() -> None:
    found = all_verdicts()
    assert {word for entry in found for word in entry[:2]} >= {"kept", *reasons()} - REASONS_SINCE, (
        "every reason of then is given"
    )
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest() == VERDICTS_OF_BEFORE


NEW_RULE = '''
"""A prompt in capital letters."""

from typing import ClassVar

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import Rule, Stage, Verdict


class Shouting(Rule):
    stage, order = Stage.ROW, 40
    reasons: ClassVar[dict[str, str]] = {"shouting": "the prompt is in capital letters"}

    class Settings(Section):
        most_capitals: Share = 0.5
        """Largest share of capital letters in a prompt."""

    def verdict(self, row: int) -> Verdict | None:
        prompt = self.rows.column("prompt")[row]
        share = sum(map(str.isupper, prompt)) / len(prompt)
        return Verdict("shouting", prompt, share) if share > self.settings.most_capitals else None


RULE = Shouting
'''
USES_IT = """
import json
import polars as pl
from nomad_assets.first_steps.starter import commented_profile
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.curate import reason_names, reasons, rule_verdicts

rows = pl.DataFrame({"id": ["0", "1"], "prompt": ["WHO?", "Who?"], "response": "x", "prompt_end": "completed",
    "response_end": "completed", "final_answer": "x", "agreement": 1.0, "majority_answer": True})
seeds = pl.DataFrame({"id": ["s"], "prompt": ["a seed"]})
found = [rule_verdicts(rows, seeds, [], Curation(keep=1, **changes)) for changes in ({}, {"most_capitals": 1.0})]
print(json.dumps([
    [[v.reason, v.evidence, v.similarity] for v in verdicts] for verdicts in found
] + [reasons()["shouting"], list(reason_names())[4:7], Curation.model_fields["most_capitals"].description]))
"""


def test_a_rule_is_one_file(tmp_path: Path) -> None:
    """Dropped into a copy of the package, it is in the settings, the reasons and the verdicts."""
    shutil.copytree(Path(nomad_assets.__file__).parent, tmp_path / "nomad_assets")
    (tmp_path / "nomad_assets" / "recipe" / "curation" / "rules" / "shouting.py").write_text(NEW_RULE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USES_IT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    strict, lenient, sentence, names, meaning = json.loads(done.stdout)
    assert strict == [["shouting", "WHO?", 0.75], ["kept", None, None]]
    assert lenient == [["kept", None, None], ["exact_repeat", "0", 1.0]]
    assert (sentence, meaning) == ("the prompt is in capital letters", "Largest share of capital letters in a prompt.")
    assert names == ["wrong_arithmetic", "echo", "shouting"]


class _Copy(Rule):
    reasons: ClassVar[dict[str, str]] = {"seed_copy": "as another rule says"}

    class Settings(Section):
        keep: int = 3


@pytest.mark.parametrize(
    ("derived", "words"),
    [
        (rules.reasons, "its reason 'seed_copy' is that of another rule"),
        (rules.settings_of_all_rules, "rules target and zcopy: both have a setting 'keep'"),
    ],
)
def test_two_rules_share_neither_reason_nor_setting(monkeypatch: pytest.MonkeyPatch, derived, words: str) -> None:
    known = rules.all_rules()
    monkeypatch.setattr(rules, "all_rules", lambda: {**known, "zcopy": _Copy})
    with pytest.raises(TypeError, match=words):
        derived()


def test_rows_of_the_first_attempts_alone_are_kept() -> None:
    corpus, seeds, questions = mixed_corpus()
    verdicts = rule_verdicts(corpus, seeds, questions, Curation(keep=100, attempts=5))
    late = [row for row, attempt in enumerate(corpus["attempt"].to_list()) if attempt >= 5]
    assert {verdicts[row].reason for row in late} == {"later_attempt", "not_completed"}
    assert not any(v.reason == "later_attempt" for row, v in enumerate(verdicts) if row not in late)


def test_the_random_band_is_matched_in_number_and_in_length() -> None:
    draw = np.random.default_rng(3)
    lengths = draw.integers(10, 200, 300)
    table = pl.DataFrame({
        "prompt": [f"question {n}" for n in range(300)], "response": ["5"] * 300, "prompt_tokens": lengths,
        "response_tokens": [3] * 300,
    })  # fmt: skip
    scores = {"normsim_2": lengths / 400 + draw.normal(0, 0.1, 300)}  # longer rows are more relevant
    rows = CorpusRows(table, pl.DataFrame({"id": [], "prompt": []}), [], scores)

    def kept(band: str) -> list[int]:
        rule = relevance_band.RULE(Curation(keep=1, band=band), rows)
        return [row for row in range(300) if rule.verdict(row) is None]

    middle, drawn, high = kept("middle"), kept("random"), kept("high")
    assert len(drawn) == len(middle) == 100 and drawn == kept("random")
    assert abs(lengths[drawn].mean() - lengths[middle].mean()) < 3 < lengths[high].mean() - lengths[middle].mean()
    assert scores["normsim_2"][drawn].std() > 1.3 * scores["normsim_2"][middle].std(), "of all relevances"
