"""Exchanged layers: how many, which ones, and that a model's numbers and files stay the same."""

import copy
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from nomad_assets.recipe.kernels.exchange import exchange_layers
from nomad_assets.recipe.models.loading import load_model

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# Of two layers: two norms and a gated part each, and the last norm.
COUNTS = {
    "Llama": ({}, 7),
    "Mistral": ({}, 7),
    "Qwen2": ({}, 7),
    "Qwen3": ({"head_dim": 8}, 7),
    "Granite": ({"logits_scaling": 2.0}, 7),
    "Olmo2": ({}, 9),  # norms behind attention and behind the gated part, and those of all queries and all keys
    "Phi3": ({}, 5),  # gate and up are one matrix
    "Gemma": ({"head_dim": 8}, 0),
    "Gemma2": ({"head_dim": 8}, 0),
    "GPT2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}, 0),
}


def tiny(name: str, **settings) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **settings})
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def exchanged(model: torch.nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("name", COUNTS)
def test_numbers_stay_the_same(name: str) -> None:
    settings, count = COUNTS[name]
    plain, ours = tiny(name, **settings), tiny(name, **settings)
    assert exchange_layers(ours) == count == len(exchanged(ours))
    ids = torch.randint(3, 60, (2, 9), generator=torch.Generator().manual_seed(0))
    losses = [model(ids, labels=ids).loss for model in (plain, ours)]
    for loss in losses:
        loss.backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-5)
    for (part, a), (_, b) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        assert relative(a.grad, b.grad) < 1e-5, part


def test_the_parts_of_the_tiny_model(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    layers = model.config.num_hidden_layers
    assert exchange_layers(model) == 3 * layers + 1
    assert exchanged(model) == [
        *(f"model.layers.{n}.{part}" for n in range(layers) for part in ("mlp", "input_layernorm", "post_attention_layernorm")),
        "model.norm",
    ]  # fmt: skip
    assert exchange_layers(model) == 3 * layers + 1, "asked again it does the same again"


def test_norms_of_queries_and_keys_are_left_alone() -> None:
    model = tiny("Qwen3", head_dim=8)
    exchange_layers(model)
    assert [name for name in exchanged(model) if name.endswith(("q_norm", "k_norm"))] == []
    assert "model.layers.0.input_layernorm" in exchanged(model)


def test_another_activation_is_left_alone() -> None:
    model = tiny("Llama", hidden_act="gelu")
    assert exchange_layers(model) == 5
    assert all("norm" in name for name in exchanged(model))


def test_another_activation_with_small_weights_is_left_alone() -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZES, hidden_act="gelu", initializer_range=0.005)
    assert exchange_layers(transformers.AutoModelForCausalLM.from_config(config).float()) == 5


def test_a_copy_has_weights_of_its_own() -> None:
    model = tiny("Llama")
    exchange_layers(model)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        before, other = model(ids).logits, copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(other(ids).logits, before)


def test_later_changes_of_the_weights_count() -> None:
    """Training changes them in place, and loading too."""
    model, other = tiny("Llama"), tiny("Llama")
    exchange_layers(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
        model.load_state_dict(other.state_dict())
        ids = torch.tensor([[3, 4, 5]])
        assert torch.allclose(model(ids).logits, other(ids).logits, atol=1e-5)


def test_random_numbers_of_the_caller_are_left_alone(tiny_model: Path) -> None:
    model = load_model(tiny_model, torch.float32)
    before = torch.random.get_rng_state()
    exchange_layers(model)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_states_and_files_are_the_same(tiny_model: Path, tmp_path: Path) -> None:
    plain, ours = load_model(tiny_model, torch.float32), load_model(tiny_model, torch.float32)
    exchange_layers(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), plain.state_dict().values(), strict=True))
    for name, model in (("plain", plain), ("ours", ours)):
        model.save_pretrained(tmp_path / name)
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("plain", "ours")]
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    configs = [(tmp_path / name / "config.json").read_bytes() for name in ("plain", "ours")]
    assert configs[0] == configs[1]


def test_generation_is_unchanged(tiny_model: Path) -> None:
    plain, ours = load_model(tiny_model, torch.float32), load_model(tiny_model, torch.float32)
    exchange_layers(ours)
    ids = torch.tensor([[3, 4, 5], [6, 7, 8]])
    assert torch.equal(*(model.generate(ids, max_new_tokens=8, do_sample=False) for model in (plain, ours)))
