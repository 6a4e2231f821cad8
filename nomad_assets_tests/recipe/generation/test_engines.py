"""The two real engines, on the same requests."""

import importlib.util
from pathlib import Path

import pytest
import torch

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe import warm
from nomad_assets.recipe.generation import engine as engine_module
from nomad_assets.recipe.generation.engine import Request, choose_engine, open_engine
from nomad_assets.recipe.generation.vllm_engine import VllmEngine
from nomad_assets.recipe.models.loading import load_model, load_tokenizer, save_model
from nomad_assets.recipe.models.turns import Turns


def test_auto_takes_transformers_for_small_jobs_and_takes_a_setting_as_said() -> None:
    assert choose_engine("auto", 100) == "transformers"
    assert choose_engine("vllm", 100) == "vllm"
    assert choose_engine("transformers", 10**9) == "transformers"


def test_auto_takes_vllm_for_large_jobs_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.util.find_spec("vllm") is not None
    assert choose_engine("auto", 10**7) == ("vllm" if installed else "transformers")
    monkeypatch.setattr(engine_module.importlib.util, "find_spec", lambda name: None)
    assert choose_engine("auto", 10**7) == "transformers"


@pytest.mark.system
def test_vllm_generates_on_smollm2_and_agrees_with_transformers(
    smollm2_model: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The real vLLM: greedy text like transformers', endings told apart, and the same seeds give the same samples."""
    turns = Turns(load_tokenizer(smollm2_model), "test")
    questions = ["What is the capital of France?", "Name the largest planet.", "What is 2 + 3?", "Who wrote Hamlet?"]
    asked = [Request(turns.response_context(turns.encode(question)), seed) for seed, question in enumerate(questions)]
    bare = [Request(turns.header, seed) for seed in range(8)]
    stops = {turns.response_end}

    vllm = open_engine("vllm", smollm2_model, batch_size=8, max_length=128, pad_id=turns.pad)
    other = shortened(smollm2_model, tmp_path / "other")
    try:
        greedy = vllm.generate(asked, Sampling(temperature=0.0, max_new_tokens=24), stops)
        samples = [vllm.generate(bare, Sampling(max_new_tokens=24), stops) for _ in range(2)]
        # Other weights in the same engine, and the first ones again; not those of another shape, nor longer rows.
        assert vllm.take_weights(other, 128)
        swapped = vllm.generate(asked, Sampling(temperature=0.0, max_new_tokens=24), stops)
        assert vllm.take_weights(smollm2_model, 64)
        assert vllm.generate(asked, Sampling(temperature=0.0, max_new_tokens=24), stops) == greedy
        assert not vllm.take_weights(tiny_model, 128) and not vllm.take_weights(other, 129)
    finally:
        vllm.close()
    theirs = open_engine("transformers", other, batch_size=8, max_length=128, pad_id=turns.pad, precision="bf16")
    of_other = theirs.generate(asked, Sampling(temperature=0.0, max_new_tokens=24), stops)
    assert swapped != greedy
    assert sum(a.ids[:2] == b.ids[:2] for a, b in zip(swapped, of_other, strict=True)) >= 3
    ours = open_engine("transformers", smollm2_model, batch_size=8, max_length=128, pad_id=turns.pad, precision="fp32")
    expected = ours.generate(asked, Sampling(temperature=0.0, max_new_tokens=24), stops)

    assert samples[0] == samples[1]
    assert len({tuple(g.ids) for g in samples[0]}) > 4
    for generation in greedy:
        assert turns.response_end not in generation.ids and len(generation.ids) <= 24
        assert generation.stopped or len(generation.ids) == 24
    # bf16 there and fp32 here round differently, so a tie may fall the other way later on; the starts agree.
    agree = sum(a.ids[:4] == b.ids[:4] for a, b in zip(greedy, expected, strict=True))
    assert agree >= 3, [(turns.decode(a.ids), turns.decode(b.ids)) for a, b in zip(greedy, expected, strict=True)]
    assert "Paris" in turns.decode(greedy[0].ids)


def shortened(model: Path, out: Path) -> Path:
    """The same model with its last layers doing nothing: weights that give other text."""
    loaded = load_model(model, torch.float32)
    with torch.no_grad():
        for layer in loaded.model.layers[-4:]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    save_model(loaded, load_tokenizer(model), out, "bfloat16")
    return out


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_rows_that_come_into_a_running_batch_are_written_as_if_alone(tiny_model: Path, batch_size: int) -> None:
    turns = Turns(load_tokenizer(tiny_model), "test")
    engine = open_engine(
        "transformers", tiny_model, batch_size=batch_size, max_length=128, pad_id=turns.pad, precision="fp32"
    )
    texts = ["Hi", "Which river flows through Cairo?", "How many apples do Tom and Anna have?", "", "7 + 5"]
    requests = [Request(turns.response_context(turns.encode(text)), seed) for seed, text in enumerate(texts * 4)]
    stops = set(range(0, len(turns.tokenizer), 12))  # rows end at different times
    told: list[int] = []
    made = engine.generate(requests, Sampling(max_new_tokens=24), stops, told.append)
    alone = [engine.generate([request], Sampling(max_new_tokens=24), stops)[0] for request in requests]
    assert made == alone
    assert len({len(generation.ids) for generation in made}) > 5
    assert told == sorted(told) and told[-1] == len(requests)


def test_an_engine_is_kept_on_a_cpu_alone_and_for_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bookkeeping, with an engine that only counts; the swap itself is tested with the real one."""

    class Counting(VllmEngine):
        def __init__(self, on_cpu: bool, fits: bool):
            self.on_cpu, self.fits, self.closed, self.taken = on_cpu, fits, 0, []

        def take_weights(self, folder: Path, max_length: int) -> bool:
            self.taken.append((folder, max_length))
            return self.fits

        def close(self) -> None:
            self.closed += 1

    new = Counting(True, True)
    monkeypatch.setattr(warm.engines, "open_engine", lambda name, folder, **options: new)
    first = Counting(True, True)
    warm.keep_engines()
    warm.release(first, True)
    assert warm.open_engine("vllm", Path("other"), max_length=9) is first
    assert (first.taken, first.closed) == ([(Path("other"), 9)], 0)
    warm.release(first, True)
    first.fits = False
    assert warm.open_engine("vllm", Path("third"), max_length=9) is new and first.closed == 1
    warm.release(new, True)
    warm.close()
    assert new.closed == 1
    broken = Counting(True, True)
    warm.release(broken, False)
    assert broken.closed == 1 and not warm.holds_vllm()
    for engine, keep in ((Counting(False, True), True), (Counting(True, True), False)):
        warm.keep_engines(keep)
        warm.release(engine, True)
        assert engine.closed == 1
