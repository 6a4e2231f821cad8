"""The loss against hand-computed values, gradient accumulation, and exact resume."""

import math
from pathlib import Path

import polars as pl
import pytest
import torch

from nomad_assets.errors import NomadError
from nomad_assets.profile import Training
from nomad_assets.recipe import training
from nomad_assets.recipe.masking import TrainingRow, Turns
from nomad_assets.recipe.models import load_model, load_tokenizer
from nomad_assets.recipe.training import (
    pack,
    passes,
    rate_factor,
    response_log_probabilities,
    token_batches,
    token_losses,
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


def test_rows_in_a_pack_do_not_see_each_other(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    rows = rows_of(tiny_model, 1.0)
    alone = token_losses(model, pack(rows[2:3]))
    packed = token_losses(model, pack(rows[:4])).split([row.supervised for row in rows[:4]])[2]
    assert torch.allclose(alone, packed, atol=1e-5)


def test_pack_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bins of 4: the longest row first, then the others where they fit; unfilled places are a row of their own."""
    monkeypatch.setattr(training, "MIN_BIN", 4)
    rows = [
        TrainingRow("a", [5, 6, 7], [0.0, 0.5, 1.0]),
        TrainingRow("b", [8, 9], [0.0, 1.0]),
        TrainingRow("c", [3], [0.0]),
    ]
    batch = pack(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 3], [8, 9, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 0, 1]]
    assert batch["keep"].tolist() == [0, 1, 4]
    assert batch["targets"].tolist() == [6, 7, 9]
    assert batch["weights"].tolist() == [0.5, 1.0, 1.0]


def test_a_full_bin_and_the_next_ones_padding_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MIN_BIN", 2)
    batch = pack(
        [
            TrainingRow("a", [5, 6, 7], [0.0, 1.0, 1.0]),
            TrainingRow("b", [8, 9, 4], [0.0, 1.0, 1.0]),
            TrainingRow("c", [1], [0.0]),
        ]
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 4], [1, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 1, 2], [0, 0, 1]]


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


def test_response_log_probabilities_by_hand(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    rows = rows_of(tiny_model, 0.0)
    expected = []
    for row in rows:
        log_probabilities = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        places = [i for i, weight in enumerate(row.loss_weights) if weight > 0]
        expected.append(sum(log_probabilities[i - 1, row.input_ids[i]].item() for i in places) / len(places))
    assert response_log_probabilities(model, rows, tokens_per_batch=64) == pytest.approx(expected, abs=1e-5)


def test_token_batches_keep_order_and_bound() -> None:
    rows = [TrainingRow(str(n), [0] * n, [0.0] * n) for n in (3, 4, 9, 2, 2)]
    assert [[row.id for row in batch] for batch in token_batches(rows, 7)] == [["3", "4"], ["9"], ["2", "2"]]


def test_the_curve_conforms_to_its_schema(tiny_model: Path, tmp_path: Path) -> None:
    from nomad_assets.schemas import TrainingCurve, validate

    result = train(load_model(tiny_model, torch.float32), rows_of(tiny_model, 1.0), SETTINGS, seed=1, scratch=tmp_path)
    validate(pl.DataFrame(result.curve), TrainingCurve, "curve")
