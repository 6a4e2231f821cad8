"""Engines that continue token sequences: one interface, transformers and vLLM behind it.

Every request carries its own seed, and a row's random numbers come from that seed alone: the batch a row happens to
stand in changes nothing but floating-point rounding.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nomad_assets.profile.sections import Sampling

if TYPE_CHECKING:
    pass

# An estimate, not a measurement: vLLM's start takes about a minute on a CPU, and at some 250 tokens/s against 360 what it
# gains per token pays for that after roughly this many.
VLLM_REPAYS_FROM_TOKENS = 50_000


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
    from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
    from nomad_assets.recipe.generation.vllm_engine import VllmEngine

    if name == "vllm":
        return VllmEngine(folder, max_length=max_length, memory_share=memory_share)
    return TransformersEngine.load(folder, batch_size=batch_size, pad_id=pad_id, precision=precision)
