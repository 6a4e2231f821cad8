"""Parts of a transformers model that keep less for the backward pass, with the same numbers.

A part is exchanged where it computes what ours computes, which is tried on random numbers, and left alone elsewhere:
Llama, Mistral, Qwen and SmolLM2 have both parts, Gemma's norms and gates are other ones.
"""

import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TOLERANCE = 1e-5


def make_lean(model: "PreTrainedModel") -> int:
    """Exchange norms and gated layers of a model, in place; how many were."""
    width = model.config.get_text_config().hidden_size
    count = 0
    for module in list(model.modules()):
        forward = _norm if _is_norm(module, width) else _gated if _is_gated(module, width) else None
        if forward is not None and _agrees(module, forward, width):
            module.forward = types.MethodType(forward, module)  # a copy of the module gets a method of its own
            count += 1
    return count


def kind_of_products(x: "torch.Tensor") -> "torch.dtype":
    """In what a matrix product with this tensor is computed: autocast's dtype where it is on, else the tensor's own."""
    import torch

    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _is_norm(module, width: int) -> bool:
    """A norm over the hidden states. Norms of queries and keys are left: their results are not cast at once."""
    weight = getattr(module, "weight", None)
    return hasattr(module, "variance_epsilon") and weight is not None and weight.shape == (width,)


def _norm(module, x):
    from nomad_assets.recipe.kernels.fused import ScaledNorm

    return ScaledNorm.apply(x, module.weight, module.variance_epsilon, kind_of_products(x))


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
    from nomad_assets.recipe.kernels.fused import GatedProjection

    return GatedProjection.apply(module.gate_proj(x), module.up_proj(x), module.down_proj.weight)


def _agrees(module, forward, width: int) -> bool:
    import torch

    weight = next(module.parameters())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, width, generator=generator).to(weight.device, weight.dtype)
    with torch.no_grad():
        expected, found = module(x), forward(module, x)
    return expected.shape == found.shape and bool((expected - found).norm() <= TOLERANCE * expected.norm())
