"""Engines that continue token sequences: one interface, transformers and vLLM behind it.

Every request carries its own seed, and a row's random numbers come from that seed alone: the batch a row happens to
stand in changes nothing but floating-point rounding.
"""

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nomad_assets.profile import Sampling
from nomad_assets.recipe.packing import attend_within_rows, model_inputs

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

# An estimate, not a measurement: vLLM's start takes about a minute on a CPU, and at some 250 tokens/s against 360 what it
# gains per token pays for that after roughly this many.
VLLM_REPAYS_FROM_TOKENS = 50_000
FILL_AT = 0.75  # share of a batch that is still running when new rows come in
LEAVE_AT = 0.875  # and when the ended ones leave


@dataclass(frozen=True)
class Request:
    """Token ids to continue, and the seed of this row's random numbers (0 <= seed < 2^31)."""

    context: list[int]
    seed: int


@dataclass(frozen=True)
class Generation:
    """New token ids without the closing token, and whether a stop token ended them."""

    ids: list[int]
    stopped: bool


class Engine(Protocol):
    name: str
    precision: str

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        """Continue every request until a stop token or `sampling.max_new_tokens`; results in the requests' order."""
        ...

    def close(self) -> None: ...


def choose_engine(setting: str, expected_tokens: int) -> str:
    """`transformers` or `vllm` for a job of that many tokens; `auto` decides, anything else is taken as said.

    vLLM fits the machine where 4 GiB are free: of the GPU's memory where there is one, else of the machine's.
    """
    if setting != "auto":
        return setting
    if importlib.util.find_spec("vllm") is None or expected_tokens < VLLM_REPAYS_FROM_TOKENS:
        return "transformers"
    import psutil
    import torch

    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
    return "vllm" if free >= 4 * 2**30 else "transformers"


def open_engine(
    name: str, folder: Path, *, batch_size: int, max_length: int, pad_id: int, memory_share: float = 1.0,
    precision: str = "auto",
) -> Engine:  # fmt: skip
    """Load a model folder into the engine of that name; `memory_share` of what vLLM would take of a GPU.

    `precision` is that of the transformers engine; vLLM computes in bf16.
    """
    if name == "vllm":
        return VllmEngine(folder, max_length=max_length, memory_share=memory_share)
    return TransformersEngine.load(folder, batch_size=batch_size, pad_id=pad_id, precision=precision)


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
    def load(cls, folder: Path, *, batch_size: int, pad_id: int, precision: str = "auto") -> "TransformersEngine":
        from nomad_assets.recipe.models import device, load_model

        model = load_model(folder, _kind(precision))
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


def _kind(precision: str) -> "torch.dtype":
    """dtype of the weights for decoding, where one token per row and step makes thin matrices."""
    import torch

    from nomad_assets.recipe.models import computes_in_bf16

    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and computes_in_bf16(64)) else torch.float32


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


class VllmEngine:
    """vLLM with token ids in and out; on a CPU in bfloat16, eager, with a cache of 4 GiB unless set otherwise."""

    name, precision = "vllm", "bf16"

    def __init__(self, folder: Path, *, max_length: int, memory_share: float = 1.0):
        import torch

        self.on_cpu, self.max_length = not torch.cuda.is_available(), max_length
        if self.on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
            # Where this is not set, vLLM takes one thread.
            os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
        # In one process: a worker of its own outlives a killed step and keeps the memory.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self.config = _architecture(folder)
        # A prefill that is cut in parts takes back random numbers of its rows, which torch's CPU generators cannot.
        whole_prefills = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_length, 8192)}
        self.llm = LLM(
            **(whole_prefills if self.on_cpu else {}),
            model=str(folder),
            dtype="bfloat16",
            max_model_len=max_length,
            enforce_eager=self.on_cpu,
            gpu_memory_utilization=0.9 * memory_share,
            trust_remote_code=False,
            load_format="safetensors",  # `auto` falls back to pickled weights
            disable_log_stats=True,
        )

    def take_weights(self, folder: Path, max_length: int) -> bool:
        """Exchange the weights for those of another model of the same shape; False where it is another shape."""
        if max_length > self.max_length or _architecture(folder) != self.config:
            return False
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        return self.llm.reset_prefix_cache()  # what it holds was computed by the weights before

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        from vllm import SamplingParams, TokensPrompt

        parameters = [
            SamplingParams(
                temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_new_tokens,
                seed=request.seed, stop_token_ids=sorted(stop_ids), ignore_eos=True, detokenize=False,
            )
            for request in requests
        ]  # fmt: skip
        prompts = [TokensPrompt(prompt_token_ids=request.context) for request in requests]
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        on_progress(len(requests))
        results = []
        for output in outputs:
            completion = output.outputs[0]
            ids = list(completion.token_ids)
            stopped = completion.finish_reason == "stop"
            results.append(Generation(ids[:-1] if stopped and ids and ids[-1] in stop_ids else ids, stopped))
        return results

    def close(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


def _architecture(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
