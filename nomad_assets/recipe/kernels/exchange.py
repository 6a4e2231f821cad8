"""Norms and gated layers of a transformers model, exchanged for those of kernels/.

A layer is exchanged where it computes the same numbers as ours, which is tried on random ones, and left alone elsewhere:
Llama, Mistral, Qwen and SmolLM2 have both, Gemma's norms and gates are different.
"""

import types
from typing import TYPE_CHECKING

from nomad_assets.recipe.kernels.switch import kernels
from nomad_assets.recipe.models.device import matmul_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 1e-5


def exchange_layers(model: "PreTrainedModel") -> int:
    """Exchange norms and gated layers of a model, in place; returns how many. The switch applies at every later call."""
    width = model.config.get_text_config().hidden_size
    count = 0
    for module in list(model.modules()):
        forward = _norm if _is_norm(module, width) else _gated if _is_gated(module, width) else None
        if forward is not None and _agrees(module, forward, width):
            module.forward = types.MethodType(forward, module)  # a copy of the module gets a method of its own
            count += 1
    return count


def _is_norm(module, width: int) -> bool:
    """A norm over the hidden states. Norms of queries and keys are left: their results are not cast at once."""
    weight = getattr(module, "weight", None)
    return hasattr(module, "variance_epsilon") and weight is not None and weight.shape == (width,)


def _norm(module, x):
    return kernels().scaled_norm(x, module.weight, module.variance_epsilon, matmul_dtype(x))


def _is_gated(module, width: int) -> bool:
    """A layer with a silu gate. The gate's function is looked at itself: with small weights all of them are alike."""
    import torch

    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    function = getattr(module, "act_fn", None)
    if function is None or any(type(part) is not torch.nn.Linear for part in parts) or parts[2].bias is not None:
        return False
    if parts[0].in_features != width:
        return False
    x = torch.linspace(-6, 6, 25)
    return torch.allclose(function(x), torch.nn.functional.silu(x), atol=TOLERANCE)


def _gated(module, x):
    return kernels().gated_projection(module.gate_proj(x), module.up_proj(x), module.down_proj.weight)


def _agrees(module, forward, width: int) -> bool:
    import torch

    weight = next(module.parameters())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, width, generator=generator).to(weight.device, weight.dtype)
    with torch.no_grad():
        expected, found = module(x), forward(module, x)
    return expected.shape == found.shape and bool((expected - found).norm() <= TOLERANCE * expected.norm())
