"""Attention within rows, the loss of the head, norms and gated layers, written by hand. Imported late: needs torch.

They compute the same numbers as the plain formulas (plain.py, which has the same functions), in float32 where these do,
and keep less for the backward pass: attention its row sums instead of all probabilities, the loss two gradients instead
of the logits. Call them through `switch.kernels()`.
"""

import torch
from torch.nn.functional import linear, scaled_dot_product_attention, silu

from nomad_assets.recipe.kernels import plain

LOGITS_BYTES = 64 * 2**20
LONGEST_WRITTEN_OUT = 1024
"""Tokens of a row. torch's fused CPU kernel is slow on short rows, above all backward."""


def row_attention(query, key, value, sizes: list[int], scale: float, window: int | None = None, dropout: float = 0.0):
    """Causal attention within rows that lie end to end.

    query (H, T, D), key and value (K, T, D) with H a multiple of K; `sizes` are the rows' lengths, T in all; a token sees
    at most `window` tokens, itself included. Result (H, T, D).
    """
    longest = max(sizes)
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        return _on_cuda(query, key, value, sizes, scale, window)
    if not torch.is_grad_enabled() and not dropout:
        return _side_by_side(query, key, value, sizes, scale, window)
    if dropout or longest > LONGEST_WRITTEN_OUT or (window and longest > window):
        return plain.row_attention(query, key, value, sizes, scale, window, dropout)
    return RowAttention.apply(query, key, value, sizes, scale)


def head_loss(hidden, head, targets, weights, dtype: torch.dtype):
    """sum_i weights_i * cross-entropy of token targets_i, a float32 scalar, without the logits of all positions.

    hidden (S, d) and head (V, d) are multiplied in `dtype`; targets (S,), weights (S,).
    """
    return HeadLoss.apply(hidden, head, targets, weights, dtype)


def head_losses(hidden, head, targets, dtype: torch.dtype):
    """Cross-entropy at each position, (S,) in float32, without gradients; shapes as in head_loss."""
    h, w = hidden.to(dtype), head.to(dtype)
    return torch.cat([_block(h[part], w, targets[part])[1] for part in blocks(len(h), len(w))])


def scaled_norm(x, weight, epsilon: float, dtype: torch.dtype):
    """RMSNorm, weight * x / sqrt(mean(x^2) + epsilon), of x (..., d) in float32; the result in `dtype`."""
    return ScaledNorm.apply(x, weight, epsilon, dtype)


def gated_projection(gate, up, down):
    """(silu(gate) * up) @ down^T of gate and up (..., f) and down (d, f)."""
    return GatedProjection.apply(gate, up, down)


def _on_cuda(query, key, value, sizes: list[int], scale: float, window: int | None) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    bounds = torch.tensor([0, *sizes], device=query.device).cumsum(0).int()
    tokens_first = [part.transpose(0, 1) for part in (query, key, value)]
    return varlen_attn(
        *tokens_first, bounds, bounds, max(sizes), max(sizes), scale=scale, window_size=((window or 0) - 1, 0),
        enable_gqa=query.shape[0] != key.shape[0],
    ).transpose(0, 1)  # fmt: skip


def _side_by_side(query, key, value, sizes: list[int], scale: float, window: int | None) -> torch.Tensor:
    """All rows at once, each padded behind its end, where causal attention does not look."""
    lengths = torch.tensor(sizes, device=query.device)[:, None]
    steps = torch.arange(max(sizes), device=query.device)
    places = (lengths.cumsum(0) - lengths + torch.minimum(steps, lengths - 1)).flatten()
    q, k, v = (
        part.index_select(1, places).unflatten(1, (len(sizes), -1)).transpose(0, 1) for part in (query, key, value)
    )
    mask = plain.window_mask(len(steps), window, query.device)
    output = scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return output.transpose(1, 2)[steps < lengths].transpose(0, 1)


class RowAttention(torch.autograd.Function):
    """row_attention without window and dropout: the probabilities of one row at a time exist in full, (H, n, n), and again
    in the backward pass."""

    @staticmethod
    def forward(ctx, query, key, value, sizes: list[int], scale: float):
        output = torch.empty_like(query)
        heads, width = key.shape[0], query.shape[-1]
        sums = []
        for q, k, v, o in _rows(sizes, query, key, value, output):
            p, total = _probabilities(q.reshape(heads, -1, width), k, scale)
            o.copy_(torch.bmm(p.to(v.dtype), v).view_as(o))
            sums.append(total)
        ctx.sizes, ctx.scale = sizes, scale
        ctx.save_for_backward(query, key, value, *sums)
        return output

    @staticmethod
    def backward(ctx, grad):
        query, key, value, *sums = ctx.saved_tensors
        grads = tuple(torch.empty_like(tensor) for tensor in (query, key, value))
        heads, width = key.shape[0], query.shape[-1]
        rows = _rows(ctx.sizes, query, key, value, grad, *grads)
        for (q, k, v, g, to_q, to_k, to_v), total in zip(rows, sums, strict=True):
            q, g = q.reshape(heads, -1, width), g.reshape(heads, -1, width)
            p, _ = _probabilities(q, k, ctx.scale, total)
            to_v.copy_(torch.bmm(p.to(v.dtype).transpose(1, 2), g))
            of_p = torch.bmm(g, v.transpose(1, 2)).float().mul_(p)
            of_scores = of_p.sub_(p.mul_(of_p.sum(-1, keepdim=True))).mul_(ctx.scale).to(q.dtype)
            to_q.copy_(torch.bmm(of_scores, k).view_as(to_q))
            to_k.copy_(torch.bmm(of_scores.transpose(1, 2), q))
        return *grads, None, None


def _rows(sizes: list[int], *tensors: torch.Tensor):
    return zip(*(tensor.split(sizes, 1) for tensor in tensors), strict=True)


def _probabilities(query, key, scale: float, total=None):
    """Of one row, in float32: query (K, G*n, D), key (K, n, D) -> (K, G*n, n), and the logarithms of the sums."""
    size = key.shape[1]
    scores = torch.bmm(query, key.transpose(1, 2)).float().mul_(scale)
    future = torch.ones(size, size, dtype=torch.bool, device=key.device).triu_(1)
    scores.view(-1, size, size).masked_fill_(future, -torch.inf)
    total = scores.logsumexp(-1, keepdim=True) if total is None else total
    return scores.sub_(total).exp_(), total


class HeadLoss(torch.autograd.Function):
    """head_loss: a block of positions at a time has its logits, (block, V), and turns them into the gradients in place."""

    @staticmethod
    def forward(ctx, hidden, head, targets, weights, dtype: torch.dtype):
        h, w = hidden.to(dtype), head.to(dtype)
        of_hidden, of_head = torch.empty_like(h), torch.zeros_like(head, dtype=torch.float32)
        loss = torch.zeros((), device=hidden.device)
        for part in blocks(len(h), len(w)):
            logits, losses = _block(h[part], w, targets[part])
            loss += (weights[part] * losses).sum()
            of_logits = logits.exp_()  # probabilities
            of_logits[torch.arange(len(of_logits), device=h.device), targets[part]] -= 1
            of_logits = of_logits.mul_(weights[part, None]).to(dtype)
            torch.mm(of_logits, w, out=of_hidden[part])
            of_head += of_logits.T @ h[part]
        ctx.save_for_backward(of_hidden, of_head)
        ctx.dtypes = hidden.dtype, head.dtype
        return loss

    @staticmethod
    def backward(ctx, grad):
        of_hidden, of_head = ctx.saved_tensors
        of_head = of_head if grad == 1 else of_head * grad
        return of_hidden.to(ctx.dtypes[0]) * grad, of_head.to(ctx.dtypes[1]), None, None, None


def blocks(positions: int, vocabulary: int) -> list[slice]:
    """Blocks of positions whose float32 logits take at most LOGITS_BYTES, at least one position each."""
    size = max(1, LOGITS_BYTES // (4 * vocabulary))
    return [slice(start, min(start + size, positions)) for start in range(0, max(positions, 1), size)]


def _block(hidden, head, targets):
    """(log-probabilities (n, V), cross-entropy (n,)) of a block, in float32."""
    logits = (hidden @ head.T).float()
    logits.sub_(logits.logsumexp(-1, keepdim=True))
    return logits, -logits[torch.arange(len(targets), device=targets.device), targets]


class ScaledNorm(torch.autograd.Function):
    """scaled_norm. transformers returns float32 under autocast, keeps it for the backward pass, and every matrix product
    that reads it casts it anew."""

    @staticmethod
    def forward(ctx, x, weight, epsilon: float, dtype: torch.dtype):
        x = x.float()
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(epsilon))
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx, grad):
        x, weight, scale = ctx.saved_tensors
        grad, unit = grad.float(), x * scale
        of_weight = (grad * unit).flatten(0, -2).sum(0)
        of_unit = grad * weight
        of_x = of_unit.sub_(unit.mul_((of_unit * unit).mean(-1, keepdim=True))).mul_(scale)
        return of_x, of_weight.to(weight.dtype), None, None


class GatedProjection(torch.autograd.Function):
    """gated_projection; the product is made again for the backward pass."""

    @staticmethod
    def forward(ctx, gate, up, down):
        ctx.save_for_backward(gate, up, down)
        return linear(silu(gate).mul_(up), down.to(gate.dtype))

    @staticmethod
    def backward(ctx, grad):
        gate, up, down = ctx.saved_tensors
        grad = grad.to(gate.dtype)
        active = silu(gate)
        of_down = (grad.flatten(0, -2).T @ (active * up).flatten(0, -2)).to(down.dtype)
        of_product = grad @ down.to(gate.dtype)
        of_gate = torch.ops.aten.silu_backward(of_product * up, gate)
        return of_gate, of_product.mul_(active), of_down
