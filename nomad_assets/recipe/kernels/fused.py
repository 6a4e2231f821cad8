"""The two parts of a training step that are worth more than what torch and transformers bring. Imported late: needs torch.

Both compute the same numbers as the plain formulas, in float32 where these do, and keep less: attention its row sums
instead of all probabilities, the loss two gradients instead of the logits.
"""

import torch

LOGITS_BYTES = 64 * 2**20


class RowAttention(torch.autograd.Function):
    """Causal attention within rows that lie end to end.

    query (H, T, D), key and value (K, T, D) with H a multiple of K; `sizes` are the rows' lengths, T in all; result
    (H, T, D). The probabilities of one row at a time exist in full, (H, n, n), and again in the backward pass.
    """

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
    """sum_i weights_i * cross-entropy of token targets_i, a float32 scalar, without the logits of all positions.

    hidden (S, d) and head (V, d) are multiplied in `kind`; targets (S,), weights (S,). A block of positions at a time has
    its logits, (block, V), and turns them into the gradients in place.
    """

    @staticmethod
    def forward(ctx, hidden, head, targets, weights, kind: torch.dtype):
        h, w = hidden.to(kind), head.to(kind)
        of_hidden, of_head = torch.empty_like(h), torch.zeros_like(head, dtype=torch.float32)
        loss = torch.zeros((), device=hidden.device)
        for part in blocks(len(h), len(w)):
            logits, losses = _block(h[part], w, targets[part])
            loss += (weights[part] * losses).sum()
            of_logits = logits.exp_()  # probabilities
            of_logits[torch.arange(len(of_logits), device=h.device), targets[part]] -= 1
            of_logits = of_logits.mul_(weights[part, None]).to(kind)
            torch.mm(of_logits, w, out=of_hidden[part])
            of_head += of_logits.T @ h[part]
        ctx.save_for_backward(of_hidden, of_head)
        ctx.kinds = hidden.dtype, head.dtype
        return loss

    @staticmethod
    def backward(ctx, grad):
        of_hidden, of_head = ctx.saved_tensors
        of_head = of_head if grad == 1 else of_head * grad
        return of_hidden.to(ctx.kinds[0]) * grad, of_head.to(ctx.kinds[1]), None, None, None


def head_losses(hidden, head, targets, kind: torch.dtype):
    """Cross-entropy at each position, (S,) in float32, without gradients; shapes as in HeadLoss."""
    h, w = hidden.to(kind), head.to(kind)
    return torch.cat([_block(h[part], w, targets[part])[1] for part in blocks(len(h), len(w))])


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
    """RMSNorm, weight * x / sqrt(mean(x^2) + epsilon), of x (..., d) in float32; the result in `kind`.

    transformers returns float32 under autocast, keeps it for the backward pass, and every matrix product that reads it
    casts it anew.
    """

    @staticmethod
    def forward(ctx, x, weight, epsilon: float, kind: torch.dtype):
        x = x.float()
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(epsilon))
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(kind)

    @staticmethod
    def backward(ctx, grad):
        x, weight, scale = ctx.saved_tensors
        grad, unit = grad.float(), x * scale
        of_weight = (grad * unit).flatten(0, -2).sum(0)
        of_unit = grad * weight
        of_x = of_unit.sub_(unit.mul_((of_unit * unit).mean(-1, keepdim=True))).mul_(scale)
        return of_x, of_weight.to(weight.dtype), None, None


class GatedProjection(torch.autograd.Function):
    """(silu(gate) * up) @ down^T of gate and up (..., f) and down (d, f); the product is made again for the backward pass."""

    @staticmethod
    def forward(ctx, gate, up, down):
        ctx.save_for_backward(gate, up, down)
        return torch.nn.functional.linear(torch.nn.functional.silu(gate).mul_(up), down.to(gate.dtype))

    @staticmethod
    def backward(ctx, grad):
        gate, up, down = ctx.saved_tensors
        grad = grad.to(gate.dtype)
        active = torch.nn.functional.silu(gate)
        of_down = (grad.flatten(0, -2).T @ (active * up).flatten(0, -2)).to(down.dtype)
        of_product = grad @ down.to(gate.dtype)
        of_gate = torch.ops.aten.silu_backward(of_product * up, gate)
        return of_gate, of_product.mul_(active), of_down
