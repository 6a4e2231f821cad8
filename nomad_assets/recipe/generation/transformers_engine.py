"""Batched decoding on a transformers model."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Generation, Needs, Request
from nomad_assets.recipe.training.packing import attend_within_rows, model_inputs

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

FILL_AT = 0.75  # share of a batch that is still running when new rows come in
LEAVE_AT = 0.875  # and when the ended ones leave


class TransformersEngine:
    """Batched decoding on a transformers model; finished rows leave the batch, so it shrinks as rows end."""

    name = "transformers"

    def __init__(self, model: "PreTrainedModel", *, batch_size: int, pad_id: int):
        from nomad_assets.recipe.memory import keep_freed_memory

        keep_freed_memory()
        self.model, self.batch_size, self.pad_id = model.eval(), batch_size, pad_id
        self.packs = attend_within_rows(model)
        self.precision = {"bfloat16": "bf16", "float32": "fp32"}[str(model.dtype).removeprefix("torch.")]

    @classmethod
    def open(cls, folder: Path, needs: Needs) -> "TransformersEngine":
        return cls.load(folder, batch_size=needs.batch_size, pad_id=needs.pad_id, precision=needs.precision)

    @classmethod
    def load(cls, folder: Path, *, batch_size: int, pad_id: int, precision: str = "auto") -> "TransformersEngine":
        from nomad_assets.recipe.models.device import device
        from nomad_assets.recipe.models.loading import load_model

        model = load_model(folder, _weights_dtype(precision))
        return cls(model.to(device()), batch_size=batch_size, pad_id=pad_id)

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        # Rows of like length share a prefill, so that little is padding.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].context), i))
        results: dict[int, Generation] = {}
        batch: _Batch | None = None
        while order or batch is not None:
            room = self.batch_size - (len(batch) if batch else 0)
            # New rows come in when a quarter of the places are free: a prefill of few rows costs as much as one of many.
            if order and (batch is None or room >= self.batch_size * (1 - FILL_AT)):
                taken, order = order[:room], order[room:]
                new = _Batch(self, taken, [requests[i] for i in taken], sampling, stop_ids)
                batch = new if batch is None else batch.joined(new)
            ended = batch.step()
            results.update(ended)
            if ended:
                on_progress(len(results))
            batch = batch if len(batch) else None
        return [results[i] for i in range(len(requests))]

    def close(self) -> None:
        del self.model


class _Batch:
    """Rows that are decoded together: their left-padded cache (R, heads, L, D) and mask (R, L), and each row's next logits."""

    def __init__(
        self,
        engine: TransformersEngine,
        names: list[int],
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
    ):
        import numpy as np
        import torch

        self.engine, self.sampling, self.stop_ids, self.device = engine, sampling, stop_ids, engine.model.device
        self.names: list[int | None] = names
        self.new_ids: list[list[int]] = [[] for _ in names]
        contexts = [list(request.context) for request in requests]
        longest = max(len(context) for context in contexts)
        self.mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts], device=self.device)
        self.uniform = None
        if sampling.temperature > 0:
            draws = [np.random.Generator(np.random.Philox(r.seed)).random(sampling.max_new_tokens) for r in requests]
            self.uniform = torch.tensor(np.stack(draws), device=self.device, dtype=torch.float64)
        with torch.inference_mode():
            self.logits, self.cache = self._prefill(contexts)

    def __len__(self) -> int:
        """Rows still being written."""
        return len(self._running())

    def joined(self, other: "_Batch") -> "_Batch":
        """This batch with the rows of another one, the shorter cache padded on the left."""
        import torch

        with torch.inference_mode():
            self.logits = self.logits[self._keep(self._running())]
            first = int(self.mask.any(0).nonzero()[0])  # what only rows that left had used
            length = max(self.mask.shape[1] - first, other.mask.shape[1])

            def together(ours: torch.Tensor, theirs: torch.Tensor, dimension: int) -> torch.Tensor:
                ours = ours.narrow(dimension, first, ours.shape[dimension] - first)
                behind = (0, 0) * (ours.ndim - 1 - dimension)
                pads = [(*behind, length - part.shape[dimension], 0) for part in (ours, theirs)]
                return torch.cat([torch.nn.functional.pad(p, pad) for p, pad in zip((ours, theirs), pads, strict=True)])

            for mine, new in zip(self.cache.layers, other.cache.layers, strict=True):
                mine.keys, mine.values = together(mine.keys, new.keys, 2), together(mine.values, new.values, 2)
            self.mask = together(self.mask, other.mask, 1)
            self.logits = torch.cat([self.logits, other.logits])
            self.uniform = None if self.uniform is None else torch.cat([self.uniform, other.uniform])
        self.names, self.new_ids = self.names + other.names, self.new_ids + other.new_ids
        return self

    def step(self) -> dict[int, Generation]:
        """Write one token of every row; the rows that ended. They leave the batch when an eighth of it has."""
        import torch

        with torch.inference_mode():
            chosen = self._choose()
            ended = {}
            for place, (name, token, ids) in enumerate(zip(self.names, chosen.tolist(), self.new_ids, strict=True)):
                if name is None:
                    continue
                if token not in self.stop_ids:
                    ids.append(token)
                if token in self.stop_ids or len(ids) == self.sampling.max_new_tokens:
                    ended[name], self.names[place] = Generation(ids, token in self.stop_ids), None
            staying = self._running()
            if len(staying) <= LEAVE_AT * len(self.names):
                chosen = chosen[self._keep(staying)]
            if staying:
                positions = self.mask.sum(-1, keepdim=True)
                self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
                self.logits = self.engine.model(
                    input_ids=chosen[:, None], attention_mask=self.mask, position_ids=positions,
                    past_key_values=self.cache, use_cache=True, logits_to_keep=1,
                ).logits[:, -1]  # fmt: skip
        return ended

    def _running(self) -> list[int]:
        return [place for place, name in enumerate(self.names) if name is not None]

    def _keep(self, places: list[int]) -> "torch.Tensor":
        """Let all other rows leave; the places as a tensor, to choose from what else there is of each row."""
        import torch

        keep = torch.tensor(places, device=self.device, dtype=torch.long)
        self.names, self.new_ids = [self.names[p] for p in places], [self.new_ids[p] for p in places]
        self.mask = self.mask[keep]
        self.uniform = None if self.uniform is None else self.uniform[keep]
        if places:
            self.cache.batch_select_indices(keep)
        return keep

    def _prefill(self, contexts: list[list[int]]) -> tuple["torch.Tensor", "DynamicCache"]:
        """(logits of each row's next token (R, V), the left-padded cache of the contexts)."""
        import torch
        from transformers import DynamicCache

        model, cache = self.engine.model, DynamicCache()
        if all(context == contexts[0] for context in contexts):
            one = torch.tensor(contexts[:1], device=self.device)
            logits = model(input_ids=one, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            cache.batch_repeat_interleave(len(contexts))
            return logits.expand(len(contexts), -1), cache
        longest = self.mask.shape[1]
        if not self.engine.packs:
            padded = [[self.engine.pad_id] * (longest - len(context)) + context for context in contexts]
            logits = model(
                input_ids=torch.tensor(padded, device=self.device), attention_mask=self.mask, past_key_values=cache,
                position_ids=(self.mask.cumsum(-1) - 1).clamp(min=0), use_cache=True, logits_to_keep=1,
            ).logits[:, -1]  # fmt: skip
            return logits, cache
        ends = self.mask.sum(-1).cumsum(0)
        inputs = {
            "input_ids": torch.tensor([[token for context in contexts for token in context]], device=self.device),
            "position_ids": torch.tensor(
                [[p for context in contexts for p in range(len(context))]], device=self.device
            ),
            "row_sizes": [len(context) for context in contexts],
        }
        logits = model(
            **(model_inputs(inputs) | {"use_cache": True}), past_key_values=cache, logits_to_keep=ends - 1
        ).logits[0]
        # Each row ends at the right edge; what stands left of it is masked.
        places = (ends[:, None] - longest + torch.arange(longest, device=self.device)).clamp(min=0)
        for layer in cache.layers:
            layer.keys, layer.values = (
                part[0].index_select(1, places.flatten()).unflatten(1, places.shape).transpose(0, 1).contiguous()
                for part in (layer.keys, layer.values)
            )
        return logits, cache

    def _choose(self) -> "torch.Tensor":
        """Next token per row, (R,): greedy, or by inverting the cumulative distribution at the row's own uniform draw."""
        import torch

        if self.uniform is None:
            return self.logits.argmax(-1)
        probabilities = torch.softmax(self.logits.float() / self.sampling.temperature, -1)
        written = torch.tensor(
            [[min(len(ids), self.sampling.max_new_tokens - 1)] for ids in self.new_ids], device=self.device
        )
        uniform = self.uniform.gather(1, written).float()
        last = probabilities.shape[-1] - 1
        if self.sampling.top_p >= 1:
            cumulative = probabilities.cumsum(-1)
            index = torch.searchsorted(cumulative, uniform * cumulative[:, -1:])
            return index[:, 0].clamp(max=last)
        ordered, order = probabilities.sort(-1, descending=True)
        cumulative = ordered.cumsum(-1)
        nucleus = ordered.masked_fill_(cumulative - ordered >= self.sampling.top_p, 0).cumsum(-1)
        index = torch.searchsorted(nucleus, uniform * nucleus[:, -1:]).clamp(max=last)
        return order.gather(-1, index)[:, 0]


def _weights_dtype(precision: str) -> "torch.dtype":
    """dtype of the weights for decoding, where one token per row and step makes thin matrices."""
    import torch

    from nomad_assets.recipe.models.device import computes_in_bf16

    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and computes_in_bf16(64)) else torch.float32


ENGINE = TransformersEngine
