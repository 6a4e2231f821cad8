"""Engines that continue token sequences: one interface, transformers and vLLM behind it.

Every request carries its own seed, and a row's random numbers come from that seed alone: the batch a row happens to
stand in changes nothing but floating-point rounding.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nomad_assets.profile import Sampling

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# An estimate, not a measurement: vLLM's start takes about a minute on a CPU, and at some 250 tokens/s against 360 what it
# gains per token pays for that after roughly this many.
VLLM_REPAYS_FROM_TOKENS = 50_000
SHRINK_BELOW = 0.75


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

    vLLM counts as fitting the machine when its platform plugin finds a device; CUDA needs 4 GiB free.
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
    name: str, folder: Path, *, batch_size: int, max_length: int, pad_id: int, memory_share: float = 1.0
) -> Engine:
    """Load a model folder into the engine of that name; `memory_share` of what vLLM would take of a GPU."""
    if name == "vllm":
        return VllmEngine(folder, max_length=max_length, memory_share=memory_share)
    return TransformersEngine.load(folder, batch_size=batch_size, pad_id=pad_id)


class TransformersEngine:
    """Batched decoding on a transformers model; finished rows leave the batch, so it shrinks as rows end."""

    name = "transformers"

    def __init__(self, model: "PreTrainedModel", *, batch_size: int, pad_id: int):
        self.model, self.batch_size, self.pad_id = model.eval(), batch_size, pad_id

    @classmethod
    def load(cls, folder: Path, *, batch_size: int, pad_id: int) -> "TransformersEngine":
        import torch

        from nomad_assets.recipe.models import device, load_model

        # One token per row and step makes thin matrices; on CPUs fp32 multiplies those nearly twice as fast as bf16.
        model = load_model(folder, torch.bfloat16 if torch.cuda.is_available() else torch.float32)
        return cls(model.to(device()), batch_size=batch_size, pad_id=pad_id)

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        # Rows of like length share a batch, so that little is padding.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].context), i))
        results: dict[int, Generation] = {}
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            batch = _Batch(self.model, [requests[i] for i in indices], sampling, stop_ids, self.pad_id)
            results.update(zip(indices, batch.decode(), strict=True))
            on_progress(len(results))
        return [results[i] for i in range(len(requests))]

    def close(self) -> None:
        del self.model


class _Batch:
    """One left-padded batch: its cache, mask and the rows still running."""

    def __init__(self, model, requests: list[Request], sampling: Sampling, stop_ids: set[int], pad_id: int):
        import numpy as np
        import torch

        self.model, self.sampling, self.stop_ids = model, sampling, stop_ids
        self.device = model.device
        longest = max(len(request.context) for request in requests)
        padded = [[pad_id] * (longest - len(r.context)) + list(r.context) for r in requests]
        mask = [[0] * (longest - len(r.context)) + [1] * len(r.context) for r in requests]
        self.tokens = torch.tensor(padded, device=self.device)
        self.mask = torch.tensor(mask, device=self.device)
        self.new_ids: list[list[int]] = [[] for _ in requests]
        self.stopped = [False] * len(requests)
        self.running = list(range(len(requests)))
        self.uniform = None
        if sampling.temperature > 0:
            draws = [np.random.Generator(np.random.Philox(r.seed)).random(sampling.max_new_tokens) for r in requests]
            self.uniform = torch.tensor(np.stack(draws), device=self.device, dtype=torch.float64)

    def decode(self) -> list[Generation]:
        import torch
        from transformers import DynamicCache

        cache = DynamicCache()
        tokens = self.tokens
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        rows = torch.arange(len(self.running), device=self.device)
        with torch.inference_mode():
            for step in range(self.sampling.max_new_tokens):
                logits = self.model(
                    input_ids=tokens, attention_mask=self.mask, position_ids=positions, past_key_values=cache,
                    use_cache=True, logits_to_keep=1,
                ).logits[:, -1]  # fmt: skip
                chosen = self._choose(logits, rows, step)
                alive = self._record(chosen.tolist(), rows.tolist())
                if not alive:
                    break
                if len(alive) < SHRINK_BELOW * len(rows):
                    keep = torch.tensor(alive, device=self.device)
                    cache.batch_select_indices(keep)
                    rows, chosen, self.mask, positions = rows[keep], chosen[keep], self.mask[keep], positions[keep]
                tokens = chosen[:, None]
                positions = positions[:, -1:] + 1
                self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        return [Generation(ids, stopped) for ids, stopped in zip(self.new_ids, self.stopped, strict=True)]

    def _choose(self, logits: "torch.Tensor", rows: "torch.Tensor", step: int) -> "torch.Tensor":
        """Next token per row, (B,): greedy, or by inverting the cumulative distribution at the row's own uniform draw."""
        import torch

        if self.uniform is None:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.sampling.temperature, -1)
        uniform = self.uniform[rows, step].float()[:, None]
        if self.sampling.top_p >= 1:
            cumulative = probabilities.cumsum(-1)
            index = torch.searchsorted(cumulative, uniform * cumulative[:, -1:])
            return index[:, 0].clamp(max=logits.shape[-1] - 1)
        ordered, order = probabilities.sort(-1, descending=True)
        cumulative = ordered.cumsum(-1)
        nucleus = ordered.masked_fill(cumulative - ordered >= self.sampling.top_p, 0).cumsum(-1)
        index = torch.searchsorted(nucleus, uniform * nucleus[:, -1:]).clamp(max=logits.shape[-1] - 1)
        return order.gather(-1, index)[:, 0]

    def _record(self, chosen: list[int], rows: list[int]) -> list[int]:
        """Append each row's token or end the row; the batch places of rows that still run."""
        alive = []
        for place, (token, row) in enumerate(zip(chosen, rows, strict=True)):
            if self.stopped[row]:
                continue
            if token in self.stop_ids:
                self.stopped[row] = True
            else:
                self.new_ids[row].append(token)
                alive.append(place)
        return alive


class VllmEngine:
    """vLLM with token ids in and out; on a CPU in bfloat16, eager, with a cache of 4 GiB unless set otherwise."""

    name = "vllm"

    def __init__(self, folder: Path, *, max_length: int, memory_share: float = 1.0):
        import torch

        on_cpu = not torch.cuda.is_available()
        if on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
        # In one process: a worker of its own outlives a killed step and keeps the memory.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self.llm = LLM(
            model=str(folder),
            dtype="bfloat16",
            max_model_len=max_length,
            enforce_eager=on_cpu,
            gpu_memory_utilization=0.9 * memory_share,
            trust_remote_code=False,
            load_format="safetensors",  # `auto` falls back to pickled weights
            disable_log_stats=True,
        )

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
