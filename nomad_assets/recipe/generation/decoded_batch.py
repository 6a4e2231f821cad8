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
        self.first = {
            number: logits
            for (number, _), logits in zip(names, self.logits, strict=True)
            if len(series[number].seeds) > 1
        }
        """Logits behind the context (V,) of each series that may go on here."""

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
            going_on = {name[0] for name in (*self.names, *other.names)}
            self.first = {n: logits for n, logits in (self.first | other.first).items() if n in going_on}
            self.uniform = None if self.uniform is None else torch.cat([self.uniform, other.uniform])
        self.names, self.new_ids = self.names + other.names, self.new_ids + other.new_ids
        return self

    def step(self, on_end: Callable[[Name, Generation], list[Name]]) -> None:
        """Write one token of every row. The rows that ended leave the batch when an eighth of it has; those that `on_end`
        names take their context over from the one that ended."""
        import torch

        with torch.inference_mode():
            chosen = self._choose(self.logits, range(len(self.names)))
            places = self._running()
            while places:
                restarts: list[tuple[int, Name]] = []
                tokens = chosen.tolist()
                for place in places:
                    name, token, ids = self.names[place], tokens[place], self.new_ids[place]
                    if token not in self.stop_ids:
                        ids.append(token)
                    if token in self.stop_ids or len(ids) == self.sampling.max_new_tokens:
                        self.names[place] = None
                        restarts += [(place, other) for other in on_end(name, Generation(ids, token in self.stop_ids))]
                # Rows that start here write their first token at once, and may end with it.
                chosen, places = self._restart(restarts, chosen) if restarts else (chosen, [])
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

    def _restart(self, restarts: list[tuple[int, Name]], chosen: "torch.Tensor") -> tuple["torch.Tensor", list[int]]:
        """Put rows (place of an ended row, name of a new one of its series) where that one ended, or behind all others where
        it has several successors. What the cache holds of the context moves to the right edge. The tokens chosen in this
        step (R,), with the first ones of these rows, and the places of these."""
        import torch

        sources = [source for source, _ in restarts]
        copies = [source for number, source in enumerate(sources) if source in sources[:number]]
        if copies:
            chosen = chosen[self._keep([*range(len(self.names)), *copies])]
        free = iter(range(len(self.names) - len(copies), len(self.names)))
        places = [next(free) if source in sources[:number] else source for number, source in enumerate(sources)]
        uniform = self._draws([name for _, name in restarts])
        for number, (place, (_, name)) in enumerate(zip(places, restarts, strict=True)):
            size, begin = len(self.series[name[0]].context), int(self.mask[place].nonzero()[0])
            for layer in self.cache.layers:
                for part in (layer.keys, layer.values):
                    part[place, :, -size:] = part[place, :, begin : begin + size].clone()
            self.mask[place] = 0
            self.mask[place, -size:] = 1
            self.names[place], self.new_ids[place] = name, []
            if uniform is not None:
                self.uniform[place] = uniform[number]
        chosen[torch.tensor(places, device=self.device)] = self._choose(
            torch.stack([self.first[name[0]] for _, name in restarts]), places
        )
        return chosen, places

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

    def _choose(self, logits: "torch.Tensor", places: Sequence[int]) -> "torch.Tensor":
        """Next token of the rows at these places, (n,), from their logits (n, V): greedy, or by inverting the cumulative
        distribution at the row's own uniform draw."""
        import torch

        if self.uniform is None:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.sampling.temperature, -1)
        most = self.sampling.max_new_tokens - 1
        written = [min(len(self.new_ids[place]), most) for place in places]
        uniform = self.uniform[list(places), written].unsqueeze(1).float()
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
