"""Rows laid end to end in one sequence without padding, and attention that stays within each row.

transformers keeps such rows apart with a mask over all pairs of tokens, which costs memory and time in the square of the
whole sequence. Here each row attends alone: on CUDA in one variable-length kernel, on CPUs row by row. torch's fused
CPU kernel is slow on short rows, above all backward, so up to 1,024 tokens attention is written out in kernels/fused.py.

Models whose layers carry a state along the sequence (Mamba, linear attention) or bend attention in ways of their own
cannot have rows laid end to end. They get a padded batch, one row a line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nomad_assets.recipe.kernels.exchange import kind_of_products
from nomad_assets.recipe.models.turns import TrainingRow

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ATTENTION = "within_rows"
LONGEST_WRITTEN_OUT = 1024
TOLERANCE = {4: 1e-3, 2: 3e-2}  # by the bytes of a number; a token that sees another row is off by more
PLAIN_LAYERS = {"full_attention", "sliding_attention"}
# Settings under which a model bends its attention scores.
BENT = ("attn_logit_softcapping", "attention_bias_type", "alibi", "use_sinks")


def pack(rows: Sequence[TrainingRow], together: bool = True) -> dict:
    """Rows as a batch: input_ids and position_ids (B, L); targets, weights and keep (S,) in the rows' order.

    `keep` are the places, in the flattened batch, whose next token carries loss. A row's first token is never predicted.
    Together B is 1, L the sum of the rows' lengths, and `row_sizes` holds these; else B rows are padded to the longest.
    """
    import torch

    sizes = [len(row.input_ids) for row in rows]
    length = max(sizes)
    ids, positions, keep, targets, weights = [], [], [], [], []
    for number, row in enumerate(rows):
        start = len(ids) if together else number * length
        padding = 0 if together else length - sizes[number]
        ids += [*row.input_ids, *([0] * padding)]  # causal attention never looks at what stands behind a row
        positions += range(sizes[number] + padding)
        supervised = [place for place in range(1, sizes[number]) if row.loss_weights[place] > 0]
        keep += [start + place - 1 for place in supervised]
        targets += [row.input_ids[place] for place in supervised]
        weights += [row.loss_weights[place] for place in supervised]
    lines = 1 if together else len(rows)
    batch = {
        "input_ids": torch.tensor(ids).view(lines, -1),
        "position_ids": torch.tensor(positions).view(lines, -1),
        "keep": torch.tensor(keep, dtype=torch.long),
        "targets": torch.tensor(targets, dtype=torch.long),
        "weights": torch.tensor(weights, dtype=torch.float32),
    }
    return {**batch, "row_sizes": sizes} if together else batch


def attend_within_rows(model: "PreTrainedModel") -> bool:
    """Make a model ready for rows laid end to end; whether it can have them. Other batches it computes as before.

    What a model says of itself is not enough: some pass no arguments on to their attention, or give it masks of their
    own. So two short rows are computed together and alone, and a model that makes a difference is left as it was.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.config.get_text_config()
    if config._attn_implementation == ATTENTION:
        return True
    plain = set(getattr(config, "layer_types", None) or PLAIN_LAYERS) <= PLAIN_LAYERS
    if not (plain and model._supports_sdpa and model._supports_attention_backend) or model._is_stateful:
        return False
    if any(getattr(config, name, None) for name in BENT) or getattr(model, "cannot_pack", False):
        return False
    if ATTENTION not in ALL_ATTENTION_FUNCTIONS.valid_keys():
        ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    before, expected = config._attn_implementation, _trial(model, together=False)
    model.set_attn_implementation(ATTENTION)
    try:
        found = _trial(model, together=True)
    except (ValueError, RuntimeError, TypeError):
        found = None
    if found is None or (found - expected).norm() > TOLERANCE[found.element_size()] * expected.norm():
        model.set_attn_implementation(before)
        model.cannot_pack = True
    return not getattr(model, "cannot_pack", False)


def _trial(model, together: bool) -> "torch.Tensor":
    """Logits of two short rows, (8, V)."""
    import torch

    last = model.config.get_text_config().vocab_size - 1
    ids = [[number * last // 9 for number in numbers] for numbers in ([1, 7, 3], [5, 2, 8, 4, 6])]
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if not together:
                rows = [torch.tensor([row], device=model.device) for row in ids]
                return torch.cat([model(input_ids=row, use_cache=False).logits[0] for row in rows])
        batch = pack([TrainingRow("", row, [0.0] * len(row)) for row in ids])
        batch = {name: part.to(model.device) if hasattr(part, "to") else part for name, part in batch.items()}
        with torch.enable_grad():  # the way that training takes
            return model(**model_inputs(batch)).logits[0].detach()
    finally:
        model.train(training)


def model_inputs(batch: dict) -> dict:
    """What of a batch the model's forward gets."""
    inputs = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}
    if "row_sizes" in batch:
        # A mask of four dimensions keeps transformers from building one; `_attention` does not look at it.
        inputs |= {"row_sizes": batch["row_sizes"], "attention_mask": batch["input_ids"].new_ones(1, 1, 1, 1).bool()}
    return inputs


def _attention(module, query, key, value, attention_mask, *, row_sizes=None, scaling=None, dropout=0.0, **others):
    """transformers' attention interface: query (B, H, L, D), key and value (B, K, L, D), result (B, L, H, D)."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from nomad_assets.recipe.kernels import fused

    marked = attention_mask is not None and attention_mask.shape == (1, 1, 1, 1)
    if marked != (row_sizes is not None) and query.shape[2] > 1:
        raise ValueError(f"{type(module).__name__} does not pass on where rows start, or has a mask of its own")
    if row_sizes is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
    query, key, value = (part.to(kind_of_products(part)) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = others.get("sliding_window")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        return _on_cuda(query, key, value, row_sizes, scale, window), None
    longest = max(row_sizes)
    if not torch.is_grad_enabled():
        return _side_by_side(query, key, value, row_sizes, scale, window), None
    if dropout or longest > LONGEST_WRITTEN_OUT or (window and longest > window):
        return _one_by_one(query, key, value, row_sizes, scale, window, dropout), None
    return fused.RowAttention.apply(query[0], key[0], value[0], row_sizes, scale).transpose(0, 1)[None], None


def _on_cuda(query, key, value, sizes: list[int], scale: float, window: int | None) -> "torch.Tensor":
    import torch
    from torch.nn.attention.varlen import varlen_attn

    bounds = torch.tensor([0, *sizes], device=query.device).cumsum(0).int()
    tokens_first = [part[0].transpose(0, 1) for part in (query, key, value)]
    return varlen_attn(
        *tokens_first, bounds, bounds, max(sizes), max(sizes), scale=scale, window_size=((window or 0) - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )[None]  # fmt: skip


def _side_by_side(query, key, value, sizes: list[int], scale: float, window: int | None) -> "torch.Tensor":
    """All rows at once, each padded behind its end, where causal attention does not look."""
    import torch

    lengths = torch.tensor(sizes, device=query.device)[:, None]
    steps = torch.arange(max(sizes), device=query.device)
    places = (lengths.cumsum(0) - lengths + torch.minimum(steps, lengths - 1)).flatten()
    q, k, v = (
        part[0].index_select(1, places).unflatten(1, (len(sizes), -1)).transpose(0, 1) for part in (query, key, value)
    )
    mask = None
    if window and max(sizes) > window:
        mask = torch.ones(len(steps), len(steps), dtype=torch.bool, device=query.device).tril().triu(1 - window)
    output = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return output.transpose(1, 2)[steps < lengths][None]


def _one_by_one(query, key, value, sizes: list[int], scale: float, window: int | None, dropout: float):
    import torch

    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs = []
    for q, k, v in zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True):
        size, mask = q.shape[2], None
        if window and size > window:
            mask = torch.ones(size, size, dtype=torch.bool, device=q.device).tril().triu(1 - window)
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, dropout_p=dropout
            )
        )
    return torch.cat(outputs, 2).transpose(1, 2)
