"""New answers to seed prompts: which are kept of what is written, and that the real engine is asked as answers are."""

from pathlib import Path

import pytest

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Generation
from nomad_assets.recipe.generation.new_answers import new_answers
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns

SEEDS = [("a", "2 + 3?", "2 + 3 = 5\n#### 5"), ("b", "Who wrote it?", "Ada")]
WRITTEN = [  # the first answer of each prompt, then the second, and so on
    "3 + 2 = 5\n#### 5", "ada", "2 + 3 = 6\n#### 6", "Bob", "3  +  2 = 5\n#### 5", "Ada", "It is 5.\n#### 5", "Eve",
]  # fmt: skip


class Scripted:
    """Writes what was planted, and notes what it was asked."""

    def __init__(self, turns: Turns):
        self.turns, self.requests = turns, []

    def generate(self, requests, sampling, stop_ids, on_progress=lambda done: None):
        self.requests = requests
        return [Generation(self.turns.encode(text), stopped=True) for text in WRITTEN[: len(requests)]]

    def close(self) -> None:
        pass


@pytest.fixture
def turns(tiny_model: Path) -> Turns:
    return Turns(load_tokenizer(tiny_model), "tiny")


def made(tiny_model: Path, each: int, most: int) -> list[tuple[str, str, str]]:
    return new_answers(
        tiny_model, SEEDS, each, Sampling(max_new_tokens=8), most, seed=3, batch_size=4, precision="fp32"
    )


def test_answers_that_come_to_the_seeds_own_and_are_new_are_kept(tiny_model, turns, monkeypatch) -> None:
    engine = Scripted(turns)
    monkeypatch.setattr(TransformersEngine, "load", lambda folder, **options: engine)
    found = made(tiny_model, 4, 10)
    assert [(row_id, text) for row_id, _, text in found] == [
        ("a-0", "3 + 2 = 5\n#### 5"), ("b-0", "ada"), ("a-3", "It is 5.\n#### 5"),
    ]  # fmt: skip
    assert [prompt for _, prompt, _ in found] == ["2 + 3?", "Who wrote it?", "2 + 3?"]
    assert engine.requests[0].context == turns.response_context(turns.encode("2 + 3?"))
    assert len({request.seed for request in engine.requests}) == 8
    assert made(tiny_model, 4, 2) == found[:2], "one of every prompt first"


def test_the_real_engine_is_asked_and_closed(tiny_model) -> None:
    assert made(tiny_model, 2, 5) == made(tiny_model, 2, 5)
