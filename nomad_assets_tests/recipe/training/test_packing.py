"""Rows laid end to end against rows alone: what a batch holds, which models may have one, and what attention gives."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention

from nomad_assets.recipe.kernels import fused, plain
from nomad_assets.recipe.models.loading import load_model, load_tokenizer
from nomad_assets.recipe.models.turns import TrainingRow
from nomad_assets.recipe.training import packing
from nomad_assets.recipe.training.packing import ATTENTION, attend_within_rows, model_inputs, pack
from nomad_assets.recipe.training.trainer import token_losses

ROWS = [
    TrainingRow("a", [5, 6, 7], [0.0, 0.5, 1.0]),
    TrainingRow("b", [8, 9], [0.0, 1.0]),
    TrainingRow("c", [3], [0.0]),
    TrainingRow("d", [2, 4, 4, 1], [1.0, 0.0, 0.0, 1.0]),
]


def random_rows(*sizes: int) -> list[TrainingRow]:
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(3, 60, (size,), generator=generator).tolist() for size in sizes]
    return [TrainingRow(str(n), row, [0.0] + [1.0] * (len(row) - 1)) for n, row in enumerate(ids)]


# Batches.


def test_pack_by_hand() -> None:
    """Row d's first token carries weight, but no token stands before it to predict it."""
    batch = pack(ROWS)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9, 3, 2, 4, 4, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 0, 1, 2, 3]]
    assert batch["row_sizes"] == [3, 2, 1, 4]
    assert batch["supervised"].tolist() == [0, 1, 3, 8]
    assert batch["targets"].tolist() == [6, 7, 9, 1]
    assert batch["weights"].tolist() == [0.5, 1.0, 1.0, 1.0]


def test_pack_one_row_a_line_by_hand() -> None:
    batch = pack(ROWS, together=False)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 0, 0], [3, 0, 0, 0], [2, 4, 4, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3]] * 4
    assert "row_sizes" not in batch
    assert batch["supervised"].tolist() == [0, 1, 4, 14]
    assert batch["targets"].tolist() == [6, 7, 9, 1]
    assert batch["weights"].tolist() == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("together", [True, False])
def test_kept_places_stand_before_their_targets(together: bool) -> None:
    batch = pack(random_rows(4, 1, 7, 2), together)
    assert batch["input_ids"].flatten()[batch["supervised"] + 1].tolist() == batch["targets"].tolist()


@pytest.mark.parametrize("together", [True, False])
def test_a_batch_without_a_supervised_token(together: bool) -> None:
    batch = pack([ROWS[2]], together)
    assert batch["supervised"].tolist() == batch["targets"].tolist() == batch["weights"].tolist() == []
    assert batch["supervised"].dtype == batch["targets"].dtype == torch.long


def test_what_the_model_gets() -> None:
    together, apart = model_inputs(pack(ROWS)), model_inputs(pack(ROWS, together=False))
    assert set(apart) == {"input_ids", "position_ids", "use_cache"}
    assert set(together) == {*apart, "row_sizes", "attention_mask"}
    assert together["attention_mask"].shape == (1, 1, 1, 1)


# Models.

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def tiny(name: str, **settings) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **settings})
    return transformers.AutoModelForCausalLM.from_config(config).float().eval()


@pytest.mark.parametrize("seeing", ["with gradients", "without"])
def test_rows_do_not_see_each_other(tiny_model: Path, seeing: str) -> None:
    """Another token in the second of three rows changes the losses of that row from there on, and no others."""
    model, rows = load_model(tiny_model, torch.float32), random_rows(6, 5, 7)
    assert attend_within_rows(model)
    with torch.set_grad_enabled(seeing == "with gradients"):
        before = token_losses(model, pack(rows)).split([5, 4, 6])
        rows[1].input_ids[1] += 1
        after = token_losses(model, pack(rows)).split([5, 4, 6])
    assert torch.allclose(before[0], after[0], rtol=0, atol=1e-6)
    assert torch.allclose(before[2], after[2], rtol=0, atol=1e-6)
    assert (before[1] - after[1]).abs().min() > 1e-5


def test_a_row_has_the_same_losses_alone_and_anywhere_in_a_batch(tiny_model: Path) -> None:
    model, rows = load_model(tiny_model, torch.float32), random_rows(6, 5, 7)
    alone = [token_losses(model, pack([row])) for row in rows]
    together = token_losses(model, pack(rows)).split([5, 4, 6])
    turned = token_losses(model, pack(rows[::-1])).split([6, 4, 5])[::-1]
    for a, b, c in zip(alone, together, turned, strict=True):
        assert torch.allclose(a, b, atol=1e-5) and torch.allclose(a, c, atol=1e-5)


def test_attend_within_rows_by_hand(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    assert model.config._attn_implementation == "sdpa"
    assert attend_within_rows(model) and attend_within_rows(model), "asked again it says so again"
    assert model.config._attn_implementation == ATTENTION


REFUSED = {
    "capped scores": ("Gemma2", {"head_dim": 8, "attn_logit_softcapping": 50.0}),
    "Mamba": ("Mamba", {"state_size": 4}),
    "linear attention": ("MiniMax", {"layer_types": ["full_attention", "linear_attention"], "num_local_experts": 2}),
    "Mamba beside attention": ("Jamba", {"num_experts": 1, "use_mamba_kernels": False}),
    "convolutions beside attention": ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
    "chunks": ("Llama4Text", {"layer_types": ["chunked_attention", "full_attention"], "num_local_experts": 2}),
    "biases by distance": ("Bloom", {}),
    "attention sinks": ("GptOss", {"num_local_experts": 2, "num_experts_per_tok": 1}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_models_that_cannot_have_rows_end_to_end_stay_as_they_are(kind: str) -> None:
    name, settings = REFUSED[kind]
    model = tiny(name, **settings)
    before = model.config._attn_implementation
    assert not attend_within_rows(model)
    assert model.config._attn_implementation == before
    with pytest.raises(ValueError, match="cannot have rows laid end to end; pack them one row a line"):
        token_losses(model, pack(ROWS))
    rows = random_rows(6, 3)
    with torch.no_grad():
        apart = token_losses(model, pack(rows, together=False)).split([5, 2])
        for row, losses in zip(rows, apart, strict=True):
            assert torch.allclose(losses, token_losses(model, pack([row], together=False)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        # row_sizes does not reach attention: rows, and later tokens, are seen, silently
        ("Nemotron", {}),
        ("Moshi", {"ffn_dim": 48}),
        # the scores have a learned mask, which is left out, silently
        ("Doge", {}),
        # values are narrower than queries: RowAttention raises
        (
            "DeepseekV3",
            {
                "q_lora_rank": None, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8,
                "num_key_value_heads": 4, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1,
                "topk_group": 1, "moe_intermediate_size": 16,
            },
        ),
    ],
)  # fmt: skip
def test_whoever_may_have_rows_end_to_end_gives_the_losses_of_rows_alone(name: str, settings: dict) -> None:
    model, rows = tiny(name, **settings), random_rows(6, 3, 9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        logits = [model(torch.tensor([row.input_ids]), use_cache=False).logits[0, :-1] for row in rows]
    expected = torch.nn.functional.cross_entropy(
        torch.cat(logits), torch.tensor([token for row in rows for token in row.input_ids[1:]]), reduction="none"
    )
    batch = pack(rows, attend_within_rows(model))
    assert torch.allclose(token_losses(model, batch), expected, atol=1e-4)


def test_generation_from_a_padded_batch_is_unchanged(tiny_model: Path) -> None:
    plain, ours = load_model(tiny_model, torch.float32), load_model(tiny_model, torch.float32)
    assert attend_within_rows(ours)
    tokenizer = load_tokenizer(tiny_model)
    prompts = ["What is the capital of France?", "Hi", "Tom has 2 bags with 3 apples each."]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    assert batch["attention_mask"].min() == 0, "nothing was padded"
    texts = [model.generate(**batch, max_new_tokens=12, do_sample=False) for model in (plain, ours)]
    assert torch.equal(*texts)
    assert torch.equal(plain(**batch).logits, ours(**batch).logits)


def test_a_saved_model_does_not_name_our_attention(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    attend_within_rows(model)
    model.save_pretrained(tmp_path)
    assert ATTENTION not in (tmp_path / "config.json").read_text(encoding="utf-8")
    assert load_model(tmp_path, torch.float32).config._attn_implementation == "sdpa"


# Attention: one result, whichever way is taken.

MARK = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # what model_inputs gives in place of a mask
ROW_SIZES = [5, 1, 9, 3]


def heads(dtype: torch.dtype = torch.float32, device: str = "cpu") -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, count, sum(ROW_SIZES), 16) for count in (4, 2, 2)]
    return [torch.randn(shape, generator=generator).to(device, dtype).requires_grad_() for shape in shapes]


def masked(query, key, value, scale: float, window: int | None) -> torch.Tensor:
    """Over the whole sequence: a token sees those of its row up to itself, at most `window` of them."""
    row = torch.repeat_interleave(torch.arange(len(ROW_SIZES)), torch.tensor(ROW_SIZES))
    place = torch.arange(len(row))
    behind = place[:, None] - place
    mask = (row[:, None] == row) & (behind >= 0) & (behind < (window or len(row)))
    key, value = key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask.to(query.device), scale=scale).transpose(1, 2)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that computed attention, in order."""
    taken: list[str] = []

    def recorded(name: str, way: Callable) -> Callable:
        def record(*arguments):
            taken.append(name)
            return way(*arguments)

        return record

    for module, name in ((plain, "row_attention"), (fused, "_side_by_side"), (fused, "_on_cuda")):
        monkeypatch.setattr(module, name, recorded(name, getattr(module, name)))
    return taken


@pytest.mark.parametrize(
    ("longest", "window", "dropout", "expected"),
    [
        (1024, None, 0.0, []),
        (9, None, 0.0, []),
        (8, None, 0.0, ["row_attention"]),
        (1024, 9, 0.0, []),
        (1024, 8, 0.0, ["row_attention"]),
        (1024, 1, 0.0, ["row_attention"]),
        (2, 4, 0.0, ["row_attention"]),
        (1024, None, 1e-9, ["row_attention"]),
    ],
)
def test_every_way_gives_the_same_attention(longest, window, dropout, expected, ways, monkeypatch) -> None:
    monkeypatch.setattr(fused, "LONGEST_WRITTEN_OUT", longest)
    ours, theirs = heads(), heads()
    found, _ = packing._attention(
        None, *ours, MARK, row_sizes=ROW_SIZES, scaling=0.3, dropout=dropout, sliding_window=window
    )
    assert ways == expected
    truth = masked(*theirs, 0.3, window)
    assert found.shape == (1, sum(ROW_SIZES), 4, 16)
    assert torch.allclose(found, truth, atol=1e-6)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    found.backward(grad)
    truth.backward(grad)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-5)
    with torch.no_grad():
        unrecorded, _ = packing._attention(
            None, *ours, MARK, row_sizes=ROW_SIZES, scaling=0.3, dropout=0.0, sliding_window=window
        )
    assert ways[-1] == "_side_by_side"
    assert torch.allclose(unrecorded, truth, atol=1e-6)


def test_the_scale_is_one_over_the_root_of_the_width_unless_given() -> None:
    found, _ = packing._attention(None, *heads(), MARK, row_sizes=ROW_SIZES)
    assert torch.allclose(found, masked(*heads(), 0.25, None), atol=1e-6)


def test_attention_under_autocast_is_in_bf16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = packing._attention(None, *heads(), MARK, row_sizes=ROW_SIZES)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), masked(*heads(), 0.25, None), atol=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: the variable-length kernel is CUDA's")
@pytest.mark.parametrize("window", [None, 9, 4, 1])
def test_the_kernel_on_cuda_gives_the_same_attention(window, ways) -> None:
    ours, theirs = heads(torch.bfloat16, "cuda"), heads(torch.float32, "cuda")
    found, _ = packing._attention(None, *ours, MARK, row_sizes=ROW_SIZES, scaling=0.3, sliding_window=window)
    assert ways == ["_on_cuda"]
    truth = masked(*theirs, 0.3, window)
    found.sum().backward()
    truth.sum().backward()
    assert torch.allclose(found.float(), truth, atol=3e-2)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad.float(), b.grad, atol=1e-1)
