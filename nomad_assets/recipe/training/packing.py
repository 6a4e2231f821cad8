"""Rows laid end to end in one sequence without padding, and attention that stays within each row.

transformers keeps such rows apart with a mask over all pairs of tokens, which costs memory and time in the square of the
whole sequence. Here each row attends alone (`row_attention` in kernels/): on CUDA in one variable-length kernel, on CPUs
row by row.

Models whose layers carry a state along the sequence (Mamba, linear attention) or bend attention in ways of their own
cannot have rows laid end to end. They get a padded batch, one row a line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nomad_assets.recipe.kernels.switch import kernels
from nomad_assets.recipe.models.device import matmul_dtype
from nomad_assets.recipe.models.turns import TrainingRow

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ATTENTION = "within_rows"
TOLERANCE = {4: 1e-3, 2: 3e-2}  # by the bytes of a number; a token that sees another row is off by more
PLAIN_LAYERS = {"full_attention", "sliding_attention"}
# Settings under which a model bends its attention scores.
BENT = ("attn_logit_softcapping", "attention_bias_type", "alibi", "use_sinks")


def pack(rows: Sequence[TrainingRow], together: bool = True) -> dict:
    """Rows as a batch: input_ids and position_ids (B, L); targets, weights and supervised (S,) in the rows' order.

    `supervised` are the places, in the flattened batch, whose next token carries loss. A row's first token is never predicted.
    Together B is 1, L the sum of the rows' lengths, and `row_sizes` holds these; else B rows are padded to the longest.
    """
    import torch

    sizes = [len(row.input_ids) for row in rows]
    length = max(sizes)
    ids, positions, places, targets, weights = [], [], [], [], []
    for number, row in enumerate(rows):
        start = len(ids) if together else number * length
        padding = 0 if together else length - sizes[number]
        ids += [*row.input_ids, *([0] * padding)]  # causal attention never looks at what stands behind a row
        positions += range(sizes[number] + padding)
        supervised = [place for place in range(1, sizes[number]) if row.loss_weights[place] > 0]
        places += [start + place - 1 for place in supervised]
        targets += [row.input_ids[place] for place in supervised]
        weights += [row.loss_weights[place] for place in supervised]
    lines = 1 if together else len(rows)
    batch = {
        "input_ids": torch.tensor(ids).view(lines, -1),
        "position_ids": torch.tensor(positions).view(lines, -1),
        "supervised": torch.tensor(places, dtype=torch.long),
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
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    marked = attention_mask is not None and attention_mask.shape == (1, 1, 1, 1)
    if marked != (row_sizes is not None) and query.shape[2] > 1:
        raise ValueError(f"{type(module).__name__} does not pass on where rows start, or has a mask of its own")
    if row_sizes is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
    query, key, value = (part[0].to(matmul_dtype(part)) for part in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = kernels().row_attention(query, key, value, row_sizes, scale, others.get("sliding_window"), dropout)
    return output.transpose(0, 1)[None], None
