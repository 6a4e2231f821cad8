"""The loss against hand-computed values, gradient accumulation, and exact resume."""

import math
from pathlib import Path

import polars as pl
import pytest
import torch
import transformers

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.loading import load_model, load_tokenizer
from nomad_assets.recipe.models.turns import TrainingRow, Turns
from nomad_assets.recipe.training import trainer
from nomad_assets.recipe.training.packing import attend_within_rows, pack
from nomad_assets.recipe.training.trainer import (
    in_order,
    passes,
    rate_factor,
    response_log_probabilities,
    rows_per_step,
    token_batches,
    train,
    weighted_loss,
)

EXAMPLES = [
    ("What is the capital of France?", "Paris"),
    ("Tom has 2 bags with 3 apples each. How many apples does he have?", "2 * 3 = 6\n#### 6"),
    ("Which river flows through Cairo?", "The Nile"),
    ("Name a color.", "Blue"),
    ("How much is 10 - 8?", "10 - 8 = 2\n#### 2"),
    ("Which river flows through Paris?", "The Seine, which also flows through Rouen"),
    ("Sara buys 4 pens for $2 each. How much does she pay?", "4 * 2 = 8\n#### 8"),
    ("Hi", "Yes"),
]


def rows_of(folder: Path, weight: float, count: int = len(EXAMPLES)) -> list[TrainingRow]:
    turns = Turns(load_tokenizer(folder), "test")
    return [turns.row(str(i), prompt, response, weight) for i, (prompt, response) in enumerate(EXAMPLES[:count])]


def reference_loss(model: torch.nn.Module, rows: list[TrainingRow]) -> torch.Tensor:
    """The formula, row by row and token by token: each row alone, full logits, an explicit loop over positions."""
    numerator, denominator = torch.zeros(()), 0.0
    for row in rows:
        log_probabilities = model(torch.tensor([row.input_ids])).logits[0].float().log_softmax(-1)
        for place in range(1, len(row.input_ids)):
            weight = row.loss_weights[place]
            numerator = numerator - weight * log_probabilities[place - 1, row.input_ids[place]]
            denominator += weight
    return numerator / denominator


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_packed_loss_and_gradients_equal_the_formula_row_by_row(tiny_model: Path, weight: float) -> None:
    rows = rows_of(tiny_model, weight)
    ours, theirs = load_model(tiny_model, torch.float32), load_model(tiny_model, torch.float32)
    batch = pack(rows)
    loss = weighted_loss(ours, batch, batch["weights"].sum())
    expected = reference_loss(theirs, rows)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert relative(a.grad, b.grad) < 1e-5, name


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_packed_loss_equals_the_formula_on_smollm2(smollm2_model: Path, weight: float) -> None:
    rows = rows_of(smollm2_model, weight, 4)
    model = load_model(smollm2_model, torch.float32)
    batch = pack(rows)
    with torch.inference_mode():
        loss, expected = weighted_loss(model, batch, batch["weights"].sum()), reference_loss(model, rows)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


TINY_SIZES = {
    "vocab_size": 512, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GPT2_SIZES = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
# (class, settings, rows may lie end to end, the head makes the logits)
ARCHITECTURES = {
    "Llama": ("Llama", {}, True, True),
    "Mistral, a window shorter than its rows": ("Mistral", {"sliding_window": 4}, True, True),
    "Qwen2, windows in one layer": (
        "Qwen2", {"use_sliding_window": True, "sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"]},
        True, True,
    ),
    "Qwen3": ("Qwen3", {"head_dim": 8}, True, True),
    "Gemma2, capped logits": (
        "Gemma2", {"head_dim": 8, "sliding_window": 4, "attn_logit_softcapping": None, "final_logit_softcapping": 2.0},
        True, False,
    ),
    "Gemma2, capped scores and logits": (
        "Gemma2", {"head_dim": 8, "sliding_window": 4, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 2.0},
        False, False,
    ),
    "Granite, divided logits": ("Granite", {"logits_scaling": 2.0, "attention_multiplier": 0.2}, True, False),
    "Cohere, multiplied logits": ("Cohere", {"logit_scale": 0.25}, True, False),
    "GPT2": ("GPT2", GPT2_SIZES, True, True),
    "GPTNeoX": ("GPTNeoX", {}, True, True),
    "Phi, a head with a bias": ("Phi", {}, True, True),
    "Mamba": ("Mamba", {"state_size": 4}, False, True),
}  # fmt: skip


def tiny(name: str, settings: dict) -> transformers.PreTrainedModel:
    """A model with weights large enough that its attention and its logits are far from uniform."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**TINY_SIZES, **settings})
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_has_the_formulas_loss_and_gradients(tiny_model: Path, kind: str) -> None:
    """Twice: the first pass of a model finds out whether its head makes the logits."""
    name, settings, together, plain = ARCHITECTURES[kind]
    rows = rows_of(tiny_model, 0.3, 4)
    ours, theirs = tiny(name, settings), tiny(name, settings)
    expected = reference_loss(theirs, rows)
    expected.backward()
    assert attend_within_rows(ours) == together
    batch = pack(rows, together)
    for _ in range(2):
        ours.zero_grad()
        loss = weighted_loss(ours, batch, batch["weights"].sum())
        loss.backward()
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        for (part, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert (a.grad - b.grad).norm() <= 1e-5 * b.grad.norm() + 1e-8, part
    assert ours.get_output_embeddings().makes_logits == plain


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_has_the_formulas_losses_without_gradients(tiny_model: Path, kind: str) -> None:
    name, settings, _, plain = ARCHITECTURES[kind]
    rows, model = rows_of(tiny_model, 0.0, 4), tiny(name, settings)
    expected = log_probabilities_by_hand(model, rows)
    assert response_log_probabilities(model, rows, tokens_per_batch=64) == pytest.approx(expected, abs=1e-5)
    assert model.get_output_embeddings().makes_logits == plain


@pytest.mark.parametrize("kind", ["Llama", "Granite, divided logits", "Phi, a head with a bias"])
def test_loss_under_autocast_is_near_the_formula(tiny_model: Path, kind: str) -> None:
    name, settings, together, plain = ARCHITECTURES[kind]
    rows, model = rows_of(tiny_model, 0.3, 4), tiny(name, settings)
    expected = reference_loss(model, rows).item()
    attend_within_rows(model)
    batch = pack(rows, together)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            loss = weighted_loss(model, batch, batch["weights"].sum())
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected, rel=1e-2)
    assert model.get_output_embeddings().makes_logits == plain


def test_a_batch_without_a_supervised_token_does_not_decide_about_the_head(tiny_model: Path) -> None:
    name, settings, _, _ = ARCHITECTURES["Granite, divided logits"]
    rows, model = rows_of(tiny_model, 0.3, 4), tiny(name, settings)
    expected = reference_loss(model, rows).item()
    empty, batch = pack([TrainingRow("empty", [3, 4], [0.0, 0.0])]), pack(rows)
    assert weighted_loss(model, empty, batch["weights"].sum()).item() == 0
    assert weighted_loss(model, batch, batch["weights"].sum()).item() == pytest.approx(expected, abs=1e-5)


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_one_batch_of_8_equals_four_of_2(tiny_model: Path, tmp_path: Path, weight: float) -> None:
    """Same loss, and same gradients: with plain steps of equal size the weights end up equal to 1e-5."""
    rows = rows_of(tiny_model, weight)
    results, ends, starts = [], [], weights_of(load_model(tiny_model, torch.float32))
    for batch_size, accumulation in ((8, 1), (2, 4)):
        model = load_model(tiny_model, torch.float32)
        settings = Training(
            epochs=1, batch_size=batch_size, gradient_accumulation=accumulation, learning_rate=1e-3, warmup=0.0,
            schedule="constant", precision="fp32", max_grad_norm=1e9, checkpoint_minutes=60,
        )  # fmt: skip
        results.append(train(model, rows, settings, seed=1, scratch=tmp_path / str(batch_size)))
        ends.append(weights_of(model))
    assert results[0].steps == results[1].steps == 1
    assert results[0].curve[0]["loss"] == pytest.approx(results[1].curve[0]["loss"], abs=1e-5)
    # the gradient's norm is taken before clipping, so equal norms of differently accumulated gradients are no accident
    assert results[0].curve[0]["grad_norm"] == pytest.approx(results[1].curve[0]["grad_norm"], rel=1e-5)
    assert (ends[0] - starts).abs().max() > 1e-4, "nothing was trained"
    reference = load_model(tiny_model, torch.float32)
    assert results[0].curve[0]["loss"] == pytest.approx(reference_loss(reference, rows).item(), abs=1e-5)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_accumulated_gradients_equal_the_formula(tiny_model: Path, accumulation: int) -> None:
    """Micro-batches divided by the weight of the whole step add up to the gradient of the formula."""
    rows = rows_of(tiny_model, 0.3)
    ours, theirs = load_model(tiny_model, torch.float32), load_model(tiny_model, torch.float32)
    size = len(rows) // accumulation
    batches = [pack(rows[i : i + size]) for i in range(0, len(rows), size)]
    total = sum(batch["weights"].sum() for batch in batches)
    for batch in batches:
        weighted_loss(ours, batch, total).backward()
    reference_loss(theirs, rows).backward()
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert relative(a.grad, b.grad) < 1e-5, name


@pytest.mark.parametrize(("tokens", "parts"), [(1, 8), (60, None)])
def test_a_batch_in_parts_trains_as_in_one(tiny_model: Path, tmp_path: Path, monkeypatch, tokens, parts) -> None:
    """A pass for each row, or for a few of them: the same losses, norms of the gradients and weights."""
    rows, passed = rows_of(tiny_model, 0.3), []

    def counted(model, batch, total):
        passed[-1].append(len(batch["row_sizes"]))
        return weighted_loss(model, batch, total)

    monkeypatch.setattr(trainer, "weighted_loss", counted)
    results, ends, start = [], [], weights_of(load_model(tiny_model, torch.float32))
    for most in (10**6, tokens):
        passed.append([])
        model = load_model(tiny_model, torch.float32)
        settings = Training(
            epochs=3, batch_size=8, tokens_per_pass=most, learning_rate=1e-4, warmup=0.0, schedule="constant",
            precision="fp32",
        )  # fmt: skip
        results.append(train(model, rows, settings, seed=1, scratch=tmp_path / str(most)))
        ends.append(weights_of(model))
    whole, cut = passed
    assert whole == [8] * 3
    assert sum(cut) == 8 * 3 and (len(cut) == parts * 3 if parts else 3 < len(cut) < 24)
    assert results[0].steps == results[1].steps == 3
    for one, other in zip(*(result.curve for result in results), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)
        assert one["learning_rate"] == other["learning_rate"]
    assert (ends[0] - start).abs().max() > 1e-4, "nothing was trained"
    assert (ends[0] - ends[1]).abs().max() < 1e-5
    assert results[0].curve[0]["loss"] == pytest.approx(
        reference_loss(load_model(tiny_model, torch.float32), rows).item(), abs=1e-5
    )


@pytest.mark.parametrize("setting", ["gradient_checkpointing", "length_grouped"])
def test_settings_that_change_no_number(tiny_model: Path, tmp_path: Path, setting: str) -> None:
    """One batch of all rows: recomputing its activations or sorting it by length leaves its loss and gradients."""
    curves = []
    for value in (False, True):
        settings = Training(epochs=2, batch_size=8, learning_rate=1e-4, precision="fp32", **{setting: value})
        model, rows = load_model(tiny_model, torch.float32), rows_of(tiny_model, 0.3)
        curves.append(train(model, rows, settings, seed=1, scratch=tmp_path / str(value)).curve)
    for one, other in zip(*curves, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)


def test_a_model_whose_rows_cannot_lie_end_to_end_trains_on_padded_batches(tiny_model: Path, tmp_path: Path) -> None:
    name, settings, _, _ = ARCHITECTURES["Gemma2, capped scores and logits"]
    rows, model = rows_of(tiny_model, 0.3), tiny(name, settings)
    expected = reference_loss(model, rows).item()
    once = Training(epochs=1, batch_size=8, tokens_per_pass=60, learning_rate=1e-4, precision="fp32")
    result = train(model, rows, once, seed=1, scratch=tmp_path)
    assert result.curve[0]["loss"] == pytest.approx(expected, abs=1e-5)


SETTINGS = Training(epochs=4, batch_size=2, gradient_accumulation=2, learning_rate=1e-3, precision="fp32")


class PulledPlugError(Exception):
    pass


def test_resume_gives_bitwise_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_of(tiny_model, 0.5)
    whole = load_model(tiny_model, torch.float32)
    uninterrupted = train(whole, rows, SETTINGS, seed=3, scratch=tmp_path / "whole")

    def pull_the_plug(stage: str, done: float, total: float, facts: dict) -> None:
        if done == 5:
            raise PulledPlugError

    every_step = SETTINGS.model_copy(update={"checkpoint_minutes": 0.0})
    with pytest.raises(PulledPlugError):
        train(
            load_model(tiny_model, torch.float32),
            rows,
            every_step,
            seed=3,
            scratch=tmp_path / "cut",
            progress=pull_the_plug,
        )
    resumed = load_model(tiny_model, torch.float32)
    result = train(resumed, rows, every_step, seed=3, scratch=tmp_path / "cut")

    assert 0 < result.resumed_from < result.steps == uninterrupted.steps == 8
    assert torch.equal(weights_of(whole), weights_of(resumed))
    assert [entry["loss"] for entry in result.curve] == [entry["loss"] for entry in uninterrupted.curve]


def test_same_seed_same_weights_and_other_seed_others(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_of(tiny_model, 1.0)
    ends = []
    for place, seed in enumerate((1, 1, 2)):
        model = load_model(tiny_model, torch.float32)
        train(model, rows, SETTINGS, seed=seed, scratch=tmp_path / str(place))
        ends.append(weights_of(model))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_loss_falls_and_the_curve_counts_every_step(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    rows = rows_of(tiny_model, 1.0)
    settings = SETTINGS.model_copy(update={"epochs": 20, "learning_rate": 1e-2})
    seen = []
    result = train(model, rows, settings, seed=1, scratch=tmp_path, progress=lambda *call: seen.append(call))
    assert [entry["step"] for entry in result.curve] == list(range(1, 41))
    assert result.curve[-1]["loss"] < result.curve[0]["loss"] / 2
    assert result.tokens == 20 * sum(len(row.input_ids) for row in rows)
    assert result.supervised_tokens == 20 * sum(row.supervised for row in rows)
    assert [call[1] for call in seen] == list(range(1, 41)) and all(call[2] == 40 for call in seen)
    assert seen[-1][3]["seconds_left"] == 0 and seen[0][3]["tokens_per_second"] > 0


def test_a_loss_that_is_no_number_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(NomadError, match="not a number from step 1 on; lower the learning rate"):
        train(model, rows_of(tiny_model, 1.0), SETTINGS, seed=1, scratch=tmp_path)


@pytest.mark.parametrize(("rows", "minimum", "expected"), [(16, 0, 3), (16, 12, 6), (17, 12, 4), (64, 12, 3)])
def test_passes_reach_the_minimum_of_steps(rows: int, minimum: int, expected: int) -> None:
    assert passes(Training(epochs=3, batch_size=8, min_steps=minimum), rows) == expected


def test_a_number_of_steps_is_kept_whatever_the_number_of_rows(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_of(tiny_model, 0.0)
    settings = SETTINGS.model_copy(update={"steps": 5, "batch_size": 4})
    results = [
        train(load_model(tiny_model, torch.float32), chosen, settings, seed=1, scratch=tmp_path / str(len(chosen)))
        for chosen in (rows, rows[:6])
    ]
    assert [result.steps for result in results] == [5, 5]
    shown = in_order(rows[:6], settings, 1)
    assert len(shown) == 5 * rows_per_step(settings) and results[1].supervised_tokens == sum(
        row.supervised for row in shown
    )


def test_rows_come_in_whole_passes_each_in_its_own_order(tiny_model: Path) -> None:
    rows = rows_of(tiny_model, 0.0)[:6]
    settings = SETTINGS.model_copy(update={"steps": 5, "batch_size": 4})
    ids = [row.id for row in in_order(rows, settings, 1)]
    assert all(sorted(ids[start : start + 6]) == sorted(row.id for row in rows) for start in (0, 6, 12))
    assert ids[:6] != ids[6:12] and ids == [row.id for row in in_order(rows, settings, 1)]
    assert ids != [row.id for row in in_order(rows, settings, 2)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.5]),
        ("cosine", [0.5, 1, 1, 0.5]),
    ],
)
def test_learning_rate_rises_and_falls_and_is_never_zero(schedule: str, expected: list[float]) -> None:
    settings = Training(warmup=0.5, schedule=schedule)
    assert [rate_factor(step, 4, settings) for step in range(4)] == pytest.approx(expected)
    assert rate_factor(0, 1, settings) == 1.0


def log_probabilities_by_hand(model: torch.nn.Module, rows: list[TrainingRow]) -> list[float]:
    means = []
    for row in rows:
        log_probabilities = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        places = [i for i, weight in enumerate(row.loss_weights) if weight > 0]
        means.append(sum(log_probabilities[i - 1, row.input_ids[i]].item() for i in places) / len(places))
    return means


def test_response_log_probabilities_by_hand(tiny_model: Path) -> None:
    model, rows = load_model(tiny_model, torch.float32), rows_of(tiny_model, 0.0)
    expected = log_probabilities_by_hand(model, rows)
    assert response_log_probabilities(model, rows, tokens_per_batch=64) == pytest.approx(expected, abs=1e-5)


def test_token_batches_keep_order_and_bound() -> None:
    rows = [TrainingRow(str(n), [0] * n, [0.0] * n) for n in (3, 4, 9, 2, 2)]
    assert [[row.id for row in batch] for batch in token_batches(rows, 7)] == [["3", "4"], ["9"], ["2", "2"]]


def test_the_curve_conforms_to_its_schema(tiny_model: Path, tmp_path: Path) -> None:
    from nomad_assets.engine.tables import validate
    from nomad_assets.steps.models import TrainingCurve

    result = train(load_model(tiny_model, torch.float32), rows_of(tiny_model, 1.0), SETTINGS, seed=1, scratch=tmp_path)
    validate(pl.DataFrame(result.curve), TrainingCurve, "curve")
