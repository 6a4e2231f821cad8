"""Synthesis with a scripted engine (endings, agreement, budget, resume) and sampling with the real one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

from nomad_assets.engine.tables import validate
from nomad_assets.profile.sections import Sampling, Synthesis
from nomad_assets.recipe.generation.engine import Generation, Request
from nomad_assets.recipe.generation.synthesis import (
    _next_shard,
    completed,
    ending,
    final_answer,
    responses_saved,
    synthesize,
)
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.steps.synthesis import SyntheticCorpus


@pytest.fixture(scope="session")
def turns(tiny_model: Path) -> Turns:
    return Turns(load_tokenizer(tiny_model), "tiny")


@dataclass
class Scripted:
    """An engine that says what `prompts(attempt)` and `responses(number)` say, and notes what it was asked.

    A response's number is attempt * responses per prompt + index. Which one is meant is known by its seed.
    """

    turns: Turns
    prompts: Callable[[int], Generation]
    responses: Callable[[int], Generation] = lambda number: Generation([], False)
    dies_at: int | None = None
    name: str = "scripted"
    asked: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = {
            derive_seed("root", phase, n): (phase, n) for phase in ("prompt", "response") for n in range(400)
        }

    def generate(
        self, requests: list[Request], sampling: Sampling, stop_ids: set[int], on_progress=lambda done: None
    ) -> list[Generation]:
        results = []
        for request in requests:
            phase, number = self.numbers[request.seed]
            assert (request.context == self.turns.header) == (phase == "prompt")
            assert stop_ids == {self.turns.prompt_end if phase == "prompt" else self.turns.response_end}
            if (phase, number) == ("prompt", self.dies_at):
                raise RuntimeError("the machine went away")
            self.asked.append((phase, number))
            results.append(self.prompts(number) if phase == "prompt" else self.responses(number))
        return results

    def close(self) -> None:
        self.asked.append(("closed", 0))


def says(turns: Turns, text: str) -> Generation:
    return Generation(turns.encode(text), True)


def run(engine: Scripted, turns: Turns, scratch: Path, **settings) -> pl.DataFrame:
    settings = Synthesis(**{"target": 1, "max_attempts": 1, **settings})
    corpus = synthesize(
        settings, engine, lambda: (engine, turns), turns, seed_parts=("root",), cell="8/unmasked", scratch=scratch
    )
    return validate(corpus, SyntheticCorpus, "corpus")


# Endings.


def test_endings(turns):
    hello, end = turns.encode("Hello"), turns.prompt_end
    assert ending(Generation(turns.encode(" Hello \n"), True), turns) == ("completed", "Hello")
    assert ending(Generation(hello, False), turns) == ("length", "Hello")
    assert ending(Generation([], True), turns) == ("empty", "")
    assert ending(Generation(turns.encode(" \n"), True), turns) == ("empty", "")
    assert ending(Generation([*hello, turns.header[0], *hello], True), turns)[0] == "malformed"
    assert ending(Generation([*hello, end], False), turns)[0] == "length"
    # Half of a character in two bytes, a control character.
    assert ending(Generation(byte(turns, 0xC3), True), turns)[0] == "malformed"
    assert ending(says(turns, "a\x00b"), turns)[0] == "malformed"
    assert ending(says(turns, "a\x7f"), turns)[0] == "malformed"
    # Tabs and line breaks are text.
    assert ending(says(turns, "a\tb\nc"), turns) == ("completed", "a\tb\nc")


def byte(turns: Turns, value: int) -> list[int]:
    """The token of one byte in a byte-level vocabulary: GPT-2's table shows byte 0xC3 as Ã."""
    (found,) = (i for i in range(len(turns.tokenizer)) if turns.tokenizer.convert_ids_to_tokens(i) == chr(value))
    return [found]


def test_a_corpus_with_every_ending(turns, tmp_path):
    prompts = {
        0: says(turns, "Who?"), 1: Generation(turns.encode("and so on"), False), 2: Generation([], True),
        3: Generation([turns.header[0]], True), 4: says(turns, "What?"), 5: says(turns, "When?"), 6: says(turns, "Why?"),
    }  # fmt: skip
    responses = {
        0: says(turns, "Me"),
        4: Generation(turns.encode("er"), False),
        5: Generation([], True),
        6: says(turns, "\x00"),
    }
    corpus = run(Scripted(turns, prompts.__getitem__, responses.__getitem__), turns, tmp_path, target=7, max_attempts=7)
    assert corpus.select("attempt", "prompt_end", "response_end", "prompt", "response", "final_answer").rows() == [
        (0, "completed", "completed", "Who?", "Me", "me"),
        (1, "length", "not_attempted", "and so on", None, None),
        (2, "empty", "not_attempted", "", None, None),
        (3, "malformed", "not_attempted", "<|im_start|>", None, None),
        (4, "completed", "length", "What?", "er", None),
        (5, "completed", "empty", "When?", "", None),
        (6, "completed", "malformed", "Why?", "\x00", None),
    ]
    assert corpus["id"].to_list()[:2] == ["8/unmasked/000000-0", "8/unmasked/000001-0"]
    assert corpus["prompt_seed"].to_list() == [derive_seed("root", "prompt", n) for n in range(7)]
    assert corpus["response_seed"].to_list() == [
        derive_seed("root", "response", n) if n in responses else None for n in range(7)
    ]
    # The end-of-turn token counts where it was written.
    assert corpus["prompt_tokens"].to_list() == [len(p.ids) + p.stopped for p in prompts.values()]
    assert corpus["response_tokens"].to_list() == [
        len(responses[n].ids) + responses[n].stopped if n in responses else 0 for n in range(7)
    ]
    assert completed(corpus)["attempt"].to_list() == [0]


def test_a_response_continues_its_own_prompt(turns, tmp_path):
    seen = []

    class Noting(Scripted):
        def generate(self, requests, *rest, **options):
            seen.extend(request.context for request in requests)
            return super().generate(requests, *rest, **options)

    engine = Noting(turns, lambda n: says(turns, f" Item {n}?\n"), lambda n: says(turns, "Yes"))
    run(engine, turns, tmp_path, target=2, max_attempts=2)
    assert seen == [turns.header] * 2 + [turns.response_context(turns.encode(f"Item {n}?")) for n in range(2)]


# Several responses.


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\n#### 7", "7"), ("#### 1,234.", "1234"), ("#### -5", "-5"), ("####7 and #### 8", "7"), ("#### 2.50", "2.50"),
        ("The  Nile", "the nile"), ("#### none", "#### none"), ("", ""),
    ],
)  # fmt: skip
def test_final_answers(text, answer):
    assert final_answer(text) == answer


def test_agreement_and_majority(turns, tmp_path):
    said = ["#### 7", "2 + 5 = 7\n#### 7", "#### 8", None, "a", "b", "B", "a", None, None, None, None]

    def respond(number: int) -> Generation:
        return Generation(turns.encode("on and on"), False) if said[number] is None else says(turns, said[number])

    engine = Scripted(turns, lambda n: says(turns, f"Item {n}?"), respond)
    corpus = run(engine, turns, tmp_path, target=12, max_attempts=3, responses_per_prompt=4)
    assert corpus.select("attempt", "response_index", "final_answer", "agreement", "majority_answer").rows() == [
        (0, 0, "7", 0.5, True), (0, 1, "7", 0.5, True), (0, 2, "8", 0.5, False), (0, 3, None, 0.5, False),
        # A tie goes to the answer that came first.
        (1, 0, "a", 0.5, True), (1, 1, "b", 0.5, False), (1, 2, "b", 0.5, False), (1, 3, "a", 0.5, True),
        (2, 0, None, None, None), (2, 1, None, None, None), (2, 2, None, None, None), (2, 3, None, None, None),
    ]  # fmt: skip
    assert corpus["prompt_seed"].n_unique() == 3
    assert corpus["response_seed"].n_unique() == 12


def test_a_prompt_whose_verdict_is_settled_gets_no_more_responses(turns, tmp_path):
    said = {
        0: ["#### 7", "#### 7", "#### 7", "#### 8"],  # three of four agree
        1: ["#### 1", None, "#### 2", "#### 1"],  # with two of three lost, none can
        2: [None, None, "#### 1", "#### 1"],
    }

    def respond(number: int) -> Generation:
        text = said[number // 4][number % 4]
        return Generation(turns.encode("on and on"), False) if text is None else says(turns, text)

    engine = Scripted(turns, lambda n: says(turns, f"Item {n}?") if n < 3 else Generation([], True), respond)
    corpus = run(engine, turns, tmp_path, target=12, max_attempts=4, responses_per_prompt=4, stop_at_agreement=0.75)
    assert corpus.select("attempt", "response_index", "final_answer", "agreement", "majority_answer").rows() == [
        (0, 0, "7", 0.75, True), (0, 1, "7", 0.75, True), (0, 2, "7", 0.75, True),
        # The one that was not sampled counts as one that does not agree.
        (1, 0, "1", 0.25, True), (1, 1, None, 0.25, False), (1, 2, "2", 0.25, False),
        (2, 0, None, None, None), (2, 1, None, None, None),
        (3, 0, None, None, None),
    ]  # fmt: skip
    assert [number for phase, number in engine.asked if phase == "response"] == [0, 1, 4, 5, 8, 9, 2, 6], "in rounds"
    assert corpus["response_seed"].to_list()[:3] == [derive_seed("root", "response", n) for n in range(3)]
    assert responses_saved(corpus, 4) == 4
    whole = run(engine, turns, tmp_path / "whole", target=12, max_attempts=4, responses_per_prompt=4)
    assert responses_saved(whole, 4) == 0


def test_a_prompt_gets_no_more_responses_once_one_is_right_or_none_can_be_told_to_be(turns, tmp_path):
    said = {0: ["#### 8", None, "#### 7", "#### 7"], 1: ["#### 7"], 2: ["#### 1"] * 4, 3: ["#### 1"]}

    def respond(number: int) -> Generation:
        text = said[number // 4][number % 4]
        return Generation(turns.encode("on and on"), False) if text is None else says(turns, text)

    def is_right(row: dict) -> bool | None:
        assert row["response_end"] == "completed"
        return None if row["prompt"] == "Item 3?" else row["final_answer"] == "7"

    engine = Scripted(turns, lambda n: says(turns, f"Item {n}?"), respond)
    corpus = synthesize(
        Synthesis(target=16, max_attempts=4, responses_per_prompt=4), engine, lambda: (engine, turns), turns,
        seed_parts=("root",), cell="c", scratch=tmp_path, is_right=is_right,
    )  # fmt: skip
    assert [said[attempt][index] for attempt, index in corpus.select("attempt", "response_index").iter_rows()] == [
        "#### 8", None, "#### 7", "#### 7", "#### 1", "#### 1", "#### 1", "#### 1", "#### 1",
    ]  # fmt: skip
    assert corpus["agreement"].null_count() == corpus["majority_answer"].null_count() == 9, "votes would be biased"
    assert responses_saved(validate(corpus, SyntheticCorpus, "corpus"), 4) == 7


# Target, budget, shards.


def test_attempts_end_with_the_shard_that_reaches_the_target(turns, tmp_path):
    engine = Scripted(
        turns, lambda n: says(turns, f"Item {n}?") if n % 2 else Generation([], True), lambda n: says(turns, "Yes")
    )
    corpus = run(engine, turns, tmp_path, target=3, max_attempts=100, shard_size=4)
    assert (corpus.height, completed(corpus).height) == (8, 4)


def test_the_budget_ends_a_corpus_short_of_its_target(turns, tmp_path):
    engine = Scripted(turns, lambda n: says(turns, f"Item {n}?"), lambda n: Generation([], True))
    corpus = run(engine, turns, tmp_path, target=5, max_attempts=10, shard_size=4)
    assert corpus["attempt"].to_list() == list(range(10))
    assert completed(corpus).height == 0


def test_a_teacher_that_never_closes_a_prompt_needs_no_answerer(turns, tmp_path):
    engine = Scripted(turns, lambda n: Generation(turns.encode("and"), False))

    def answerer():
        raise AssertionError("nothing to answer")

    settings = Synthesis(target=2, max_attempts=5, shard_size=3)
    corpus = synthesize(settings, engine, answerer, turns, seed_parts=("root",), cell="8/masked", scratch=tmp_path)
    validate(corpus, SyntheticCorpus, "corpus")
    assert corpus["prompt_end"].to_list() == ["length"] * 5


def test_progress_ends_where_the_nearer_bound_is(turns, tmp_path):
    told = []
    engine = Scripted(
        turns, lambda n: says(turns, f"Item {n}?") if n < 2 else Generation([], True), lambda n: says(turns, "Yes")
    )
    synthesize(
        Synthesis(target=8, max_attempts=8, shard_size=4), engine, lambda: (engine, turns), turns,
        seed_parts=("root",), cell="c", scratch=tmp_path, progress=lambda *report: told.append(report),
    )  # fmt: skip
    assert all(report[3].pop("tokens_per_second") > 0 for report in told)
    assert told == [
        ("synthesis", 4.0, 8, {"attempts": 4, "completed": 2}),
        ("synthesis", 8.0, 8, {"attempts": 8, "completed": 2}),
    ]


@pytest.mark.parametrize(
    ("target", "attempts", "done", "size"),
    [
        (40, 0, 0, 64),
        (500, 0, 0, 500),
        (5000, 0, 0, 1024),
        (500, 500, 250, 500),
        (500, 500, 490, 64),
        (500, 64, 0, 1024),
    ],
)
def test_a_shard_is_as_large_as_what_is_missing(target, attempts, done, size):
    """At the rate so far; half of 500 failed, so another 500 are tried for the other 250 rows."""
    assert _next_shard(Synthesis(target=target, max_attempts=10**5), attempts, done) == size


def test_whole_shards_survive_a_crash(turns, tmp_path):
    def engine(dies_at: int | None = None) -> Scripted:
        return Scripted(turns, lambda n: says(turns, f"Item {n}?"), lambda n: says(turns, f"Answer {n}"), dies_at)

    settings = {"target": 12, "max_attempts": 12, "shard_size": 4}
    whole = run(engine(), turns, tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="went away"):
        run(engine(dies_at=6), turns, tmp_path / "cut", **settings)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["shard-000000.parquet"]
    # What a crash in the middle of writing leaves is no shard.
    (tmp_path / "cut" / "shard-000001.partial").write_bytes(b"half")
    again = engine()
    assert run(again, turns, tmp_path / "cut", **settings).equals(whole)
    assert sorted({number for _, number in again.asked}) == list(range(4, 12)), "the first shard was not made again"


# The real engine on the tiny model.


@pytest.fixture(scope="module")
def engine(tiny_model: Path, turns: Turns) -> TransformersEngine:
    return TransformersEngine.load(tiny_model, batch_size=8, pad_id=turns.pad, precision="fp32")


@pytest.fixture(scope="module")
def sharp(tiny_model: Path, turns: Turns) -> TransformersEngine:
    """The tiny model with its logits -10 times as large: the untouched one draws almost uniformly, but for the last token."""
    import torch

    made = TransformersEngine.load(tiny_model, batch_size=500, pad_id=turns.pad, precision="fp32")
    with torch.no_grad():
        made.model.model.norm.weight *= -10
    return made


def probabilities(engine: TransformersEngine, context: list[int], temperature: float = 1.0) -> np.ndarray:
    import torch

    with torch.inference_mode():
        logits = engine.model(torch.tensor([context], device=engine.model.device)).logits[0, -1].double()
    return torch.softmax(logits / temperature, -1).cpu().numpy()


def first_tokens(engine: TransformersEngine, context: list[int], draws: int, **sampling) -> np.ndarray:
    made = engine.generate(
        [Request(context, seed) for seed in range(draws)], Sampling(max_new_tokens=1, **sampling), set()
    )
    return np.array([generation.ids[0] for generation in made])


def assert_drawn_from(tokens: np.ndarray, expected: np.ndarray) -> None:
    """Chi-square over the tokens expected at least 5 times, the others together."""
    observed = np.bincount(tokens, minlength=len(expected)).astype(float)
    assert observed[expected == 0].sum() == 0
    wanted = expected * len(tokens)
    frequent = wanted >= 5
    assert frequent.sum() >= 5, "the distribution must have something to tell"
    observed = np.append(observed[frequent], observed[~frequent].sum())
    wanted = np.append(wanted[frequent], wanted[~frequent].sum())
    if wanted[-1] < 1:
        observed, wanted = observed[:-1], wanted[:-1] * observed[:-1].sum() / wanted[:-1].sum()
    assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_tokens_follow_the_softmax(sharp, turns, temperature):
    context = turns.header
    assert_drawn_from(
        first_tokens(sharp, context, 2000, temperature=temperature), probabilities(sharp, context, temperature)
    )


@pytest.mark.parametrize("top_p", [0.9, 0.5])
def test_tokens_follow_the_nucleus(sharp, turns, top_p):
    """The smallest set of most probable tokens whose mass reaches top_p, renormalised."""
    context = turns.encode("Who")
    full = probabilities(sharp, context)
    order = np.argsort(-full)
    size = int(np.searchsorted(full[order].cumsum(), top_p)) + 1
    nucleus = np.zeros_like(full)
    nucleus[order[:size]] = full[order[:size]] / full[order[:size]].sum()
    assert_drawn_from(first_tokens(sharp, context, 2000, top_p=top_p), nucleus)


def test_a_tiny_nucleus_is_greedy(sharp, turns):
    context = turns.encode("Who")
    assert set(first_tokens(sharp, context, 50, top_p=1e-6)) == {int(probabilities(sharp, context).argmax())}


TEXTS = [
    "Who",
    "What is the capital of France?",
    "Tom has",
    "a",
    "Which river flows through Cairo, and how long is it in miles?",
    "2 * 3 =",
]


def test_greedy_is_what_transformers_generates(engine, turns):
    """Ragged contexts in one batch against `generate` on each alone."""
    import torch

    contexts = [turns.response_context(turns.encode(text)) for text in TEXTS]
    made = engine.generate(
        [Request(context, 0) for context in contexts], Sampling(temperature=0.0, max_new_tokens=20), set()
    )
    for context, generation in zip(contexts, made, strict=True):
        ids = torch.tensor([context], device=engine.model.device)
        expected = engine.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=turns.pad,
        )
        assert generation == Generation(expected[0, len(context) :].tolist(), False)


def test_a_stop_token_ends_its_own_row_alone(engine, turns):
    contexts = [turns.response_context(turns.encode(text)) for text in TEXTS]
    sampling = Sampling(temperature=0.0, max_new_tokens=20)
    free = engine.generate([Request(context, 0) for context in contexts], sampling, set())
    stop = free[0].ids[4]
    stopped = engine.generate([Request(context, 0) for context in contexts], sampling, {stop})
    assert stopped[0].stopped
    for one, other in zip(free, stopped, strict=True):
        place = one.ids.index(stop) if stop in one.ids else None
        assert other == (Generation(one.ids, False) if place is None else Generation(one.ids[:place], True))


def test_the_batch_changes_no_row(engine, turns):
    requests = [Request(turns.response_context(turns.encode(text)), seed) for seed, text in enumerate(TEXTS * 3)]
    stops = set(range(0, len(turns.tokenizer), 12))  # rows end at different times, so that the batch shrinks
    sampling = Sampling(max_new_tokens=24, top_p=0.95)
    together = engine.generate(requests, sampling, stops)
    assert len({len(generation.ids) for generation in together}) > 5
    assert together == [engine.generate([request], sampling, stops)[0] for request in requests]
    assert engine.generate(requests[::-1], sampling, stops)[::-1] == together


def test_a_seed_decides_a_row(engine, turns):
    sampling = Sampling(max_new_tokens=16)
    made = engine.generate([Request(turns.header, seed) for seed in (1, 2, 1)], sampling, set())
    assert made[0] == made[2] != made[1]


def test_no_requests(engine):
    assert engine.generate([], Sampling(), {0}) == []


def test_same_seed_same_corpus(engine, turns, tmp_path):
    def corpus(seed: int, folder: str) -> pl.DataFrame:
        settings = Synthesis(
            target=8,
            max_attempts=24,
            shard_size=8,
            prompt=Sampling(max_new_tokens=12),
            response=Sampling(max_new_tokens=12),
        )
        made = synthesize(
            settings,
            engine,
            lambda: (engine, turns),
            turns,
            seed_parts=(seed,),
            cell="8/masked",
            scratch=tmp_path / folder,
        )
        return validate(made, SyntheticCorpus, "corpus")

    first = corpus(1, "a")
    assert first.equals(corpus(1, "b"))
    assert first["prompt"].to_list() != corpus(2, "c")["prompt"].to_list()
