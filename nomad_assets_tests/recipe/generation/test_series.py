"""Several continuations of one context: what is sampled, that the engine reads a context once, and that nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Generation, Request
from nomad_assets.recipe.generation.series import Series, every_one, sample
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns

TEXTS = [
    "Who",
    "What is the capital of France?",
    "Which river flows through Cairo, and how long is it?",
    "a",
    "2 * 3 =",
]
SAMPLING = Sampling(max_new_tokens=24, top_p=0.95)


@pytest.fixture(scope="module")
def turns(tiny_model: Path) -> Turns:
    return Turns(load_tokenizer(tiny_model), "tiny")


@pytest.fixture(scope="module")
def stops(turns: Turns) -> set[int]:
    return set(range(0, len(turns.tokenizer), 12))  # rows end at different times


@pytest.fixture(scope="module")
def series(turns: Turns) -> list[Series]:
    contexts = [turns.response_context(turns.encode(text)) for text in TEXTS]
    return [Series(context, [100 * n + place for place in range(6)]) for n, context in enumerate([*contexts, [3]])]


def opened(tiny_model: Path, turns: Turns, batch_size: int) -> TransformersEngine:
    return TransformersEngine.load(tiny_model, batch_size=batch_size, pad_id=turns.pad, precision="fp32")


@pytest.fixture(scope="module")
def alone(tiny_model: Path, turns: Turns, series: list[Series], stops: set[int]) -> list[list[Generation]]:
    """Every continuation in a batch of its own."""
    engine = opened(tiny_model, turns, 1)
    return [[engine.generate([Request(s.context, seed)], SAMPLING, stops)[0] for seed in s.seeds] for s in series]


ASKED = [[2], [2, 1], [1, 3], [1, 1, 1], [6], [3, 2, 1]]
"""How many of each series are asked for, one time after another."""


def some(number: int, made: Sequence[Generation]) -> int:
    return next((more for n, more in enumerate(ASKED[number]) if sum(ASKED[number][:n]) == len(made)), 0)


class InRounds:
    """The same engine without a way of its own to sample series."""

    def __init__(self, engine: TransformersEngine):
        self.generate, self.rounds = engine.generate, 0


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_each_continuation_is_the_one_of_its_seed(batch_size, tiny_model, turns, series, stops, alone) -> None:
    engine = opened(tiny_model, turns, batch_size)
    assert sample(engine, series, SAMPLING, stops, every_one(series)) == alone
    made = sample(engine, series, SAMPLING, stops, some)
    assert made == [one[: len(few)] for one, few in zip(alone, made, strict=True)]
    assert [len(few) for few in made] == [sum(asked) for asked in ASKED]
    assert sample(InRounds(engine), series, SAMPLING, stops, some) == made


@pytest.mark.parametrize("batch_size", [8, 64])
def test_greedy_continuations_start_where_their_context_ends(batch_size, tiny_model, turns, series, stops) -> None:
    """All continuations of one context are the same text, also those that start where another one ended."""
    engine, greedy = opened(tiny_model, turns, batch_size), Sampling(temperature=0.0, max_new_tokens=24)
    for more in (lambda number, made: 1 if len(made) < 6 else 0, lambda number, made: 6 - len(made) if made else 1):
        for one, first in zip(series, sample(engine, series, greedy, stops, more), strict=True):
            assert len(first) == 6
            assert first == engine.generate([Request(one.context, 0)], greedy, stops) * 6


def test_a_context_is_read_once(tiny_model, turns, series, stops, monkeypatch) -> None:
    engine, read = opened(tiny_model, turns, 64), []
    forward = engine.model.forward

    def noting(*arguments, **options):
        read.append(options["input_ids"].shape[1] * options["input_ids"].shape[0])
        return forward(*arguments, **options)

    monkeypatch.setattr(engine.model, "forward", noting)
    sample(engine, series, SAMPLING, stops, some)
    assert read[0] == sum(len(one.context) for one in series)
    assert max(read[1:]) <= 6 * len(series), "from there on one token of each row"


def test_progress_counts_series_that_are_done(tiny_model, turns, series, stops) -> None:
    for engine in (opened(tiny_model, turns, 8), InRounds(opened(tiny_model, turns, 8))):
        for more in (some, every_one(series)):
            told: list[int] = []
            sample(engine, series, SAMPLING, stops, more, told.append)
            assert told == sorted(told) and told[-1] == len(series)


def test_no_series(tiny_model, turns) -> None:
    assert sample(opened(tiny_model, turns, 8), [], SAMPLING, {0}, every_one([])) == []
    assert sample(InRounds(opened(tiny_model, turns, 8)), [], SAMPLING, {0}, every_one([])) == []
