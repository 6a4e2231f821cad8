"""The functions of fused.py as torch's own operations, differentiated by autograd. Imported late: needs torch.

What they compute, their arguments and their shapes are described in fused.py.
"""

import torch
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention, silu


def row_attention(query, key, value, sizes: list[int], scale: float, window: int | None = None, dropout: float = 0.0):
    """One row after the other, each through torch's attention."""
    groups = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    outputs = []
    for q, k, v in zip(*(part[None].split(sizes, 2) for part in (query, key, value)), strict=True):
        mask = window_mask(q.shape[2], window, q.device)
        outputs.append(
            scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, dropout_p=dropout
            )
        )
    return torch.cat(outputs, 2)[0]


def window_mask(size: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """What each of `size` tokens sees, (size, size): itself and up to window - 1 before it; None where that is all."""
    if not window or size <= window:
        return None
    return torch.ones(size, size, dtype=torch.bool, device=device).tril().triu(1 - window)


def head_loss(hidden, head, targets, weights, dtype: torch.dtype):
    return (weights * head_losses(hidden, head, targets, dtype)).sum()


def head_losses(hidden, head, targets, dtype: torch.dtype):
    return cross_entropy(linear(hidden.to(dtype), head.to(dtype)).float(), targets, reduction="none")


def scaled_norm(x, weight, epsilon: float, dtype: torch.dtype):
    x = x.float()
    return (weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon))).to(dtype)


def gated_projection(gate, up, down):
    return linear(silu(gate) * up, down.to(gate.dtype))
