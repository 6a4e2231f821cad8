"""Rows that a transformers model writes together, one token each at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Generation
from nomad_assets.recipe.generation.series import Name, Series
from nomad_assets.recipe.training.packing import model_inputs

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

LEAVE_AT = 0.875  # share of a batch that is still running when the ended rows leave


class Batch:
    """Rows that are decoded together: their left-padded cache (R, heads, L, D) and mask (R, L), and each row's next logits."""

    def __init__(
        self,
        model: "PreTrainedModel",
        pad_id: int,
        packs: bool,
        names: list[Name],
        series: Sequence[Series],
        sampling: Sampling,
        stop_ids: set[int],
    ):
        import torch

        self.model, self.pad_id, self.packs, self.device = model, pad_id, packs, model.device
        self.series, self.sampling, self.stop_ids = series, sampling, stop_ids
        self.names: list[Name | None] = [*names]
        self.new_ids: list[list[int]] = [[] for _ in names]
        contexts = [series[number].context for number, _ in names]
        longest = max(len(context) for context in contexts)
        self.mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts], device=self.device)
        self.uniform = self._draws(names)
        with torch.inference_mode():
            self.logits, self.cache = self._prefill_once(contexts)

    def __len__(self) -> int:
        """Rows still being written."""
        return len(self._running())

    def joined(self, other: "Batch") -> "Batch":
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

    def step(self, on_end: Callable[[Name, Generation], list[Name]]) -> None:
        """Write one token of every row. The rows that ended leave the batch when an eighth of it has; those that `on_end`
        names take their context over from the one that ended."""
        import torch

        with torch.inference_mode():
            chosen = self._choose()
            restarts: list[tuple[int, Name]] = []
            for place, (name, token, ids) in enumerate(zip(self.names, chosen.tolist(), self.new_ids, strict=True)):
                if name is None:
                    continue
                if token not in self.stop_ids:
                    ids.append(token)
                if token in self.stop_ids or len(ids) == self.sampling.max_new_tokens:
                    self.names[place] = None
                    restarts += [(place, other) for other in on_end(name, Generation(ids, token in self.stop_ids))]
            if restarts:
                chosen = self._restart(restarts, chosen)
            staying = self._running()
            if len(staying) <= LEAVE_AT * len(self.names):
                chosen = chosen[self._keep(staying)]
            if staying:
                positions = self.mask.sum(-1, keepdim=True)
                self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
                self.logits = self.model(
                    input_ids=chosen[:, None], attention_mask=self.mask, position_ids=positions,
                    past_key_values=self.cache, use_cache=True, logits_to_keep=1,
                ).logits[:, -1]  # fmt: skip

    def _restart(self, restarts: list[tuple[int, Name]], chosen: "torch.Tensor") -> "torch.Tensor":
        """Put rows (place of an ended row, name of a new one of its series) where that one ended, or behind all others where
        it has several successors. The token that each row is fed next, (R,): the last one of its context, whose output is then
        the logits of the first new one. What the cache holds of the context before it moves to the right edge."""
        copies = [place for number, (place, _) in enumerate(restarts) if place in {p for p, _ in restarts[:number]}]
        if copies:
            rows = [*range(len(self.names)), *copies]
            chosen = chosen[self._keep(rows)]
        free = iter(range(len(self.names) - len(copies), len(self.names)))
        taken: set[int] = set()
        uniform = self._draws([name for _, name in restarts])
        for number, (source, name) in enumerate(restarts):
            place = next(free) if source in taken else source
            taken.add(source)
            context = self.series[name[0]].context
            kept, first = len(context) - 1, int(self.mask[place].nonzero()[0])
            for layer in self.cache.layers:
                for part in (layer.keys, layer.values):
                    part[place, :, part.shape[2] - kept :] = part[place, :, first : first + kept].clone()
            self.mask[place] = 0
            self.mask[place, self.mask.shape[1] - kept :] = 1
            chosen[place] = context[-1]
            self.names[place], self.new_ids[place] = name, []
            if uniform is not None:
                self.uniform[place] = uniform[number]
        return chosen

    def _draws(self, names: list[Name]) -> "torch.Tensor | None":
        """The uniform draws of each row, (R, most new tokens): from its seed alone. None where sampling is greedy."""
        import numpy as np
        import torch

        if self.sampling.temperature == 0:
            return None
        seeds = [self.series[number].seeds[place] for number, place in names]
        draws = [np.random.Generator(np.random.Philox(seed)).random(self.sampling.max_new_tokens) for seed in seeds]
        return torch.tensor(np.stack(draws), device=self.device, dtype=torch.float64)

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

    def _prefill_once(self, contexts: list[list[int]]) -> tuple["torch.Tensor", "DynamicCache"]:
        """(logits of each row's next token (R, V), the left-padded cache of the contexts); equal contexts are read once."""
        import torch

        different = list(dict.fromkeys(map(tuple, contexts)))
        logits, cache = self._prefill([list(context) for context in different])
        if len(different) < len(contexts):
            numbers = {context: number for number, context in enumerate(different)}
            which = torch.tensor([numbers[tuple(context)] for context in contexts], device=self.device)
            cache.batch_select_indices(which)
            logits = logits[which]
        return logits, cache

    def _prefill(self, contexts: list[list[int]]) -> tuple["torch.Tensor", "DynamicCache"]:
        """The same for contexts that differ."""
        import torch
        from transformers import DynamicCache

        model, cache = self.model, DynamicCache()
        if len(contexts) == 1:
            one = torch.tensor(contexts, device=self.device)
            logits = model(input_ids=one, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            return logits, cache
        longest = max(len(context) for context in contexts)
        sizes = [len(context) for context in contexts]
        mask = torch.tensor([[0] * (longest - size) + [1] * size for size in sizes], device=self.device)
        if not self.packs:
            padded = [[self.pad_id] * (longest - len(context)) + context for context in contexts]
            logits = model(
                input_ids=torch.tensor(padded, device=self.device), attention_mask=mask, past_key_values=cache,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0), use_cache=True, logits_to_keep=1,
            ).logits[:, -1]  # fmt: skip
            return logits, cache
        ends = mask.sum(-1).cumsum(0)
        inputs = {
            "input_ids": torch.tensor([[token for context in contexts for token in context]], device=self.device),
            "position_ids": torch.tensor(
                [[p for context in contexts for p in range(len(context))]], device=self.device
            ),
            "row_sizes": sizes,
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
