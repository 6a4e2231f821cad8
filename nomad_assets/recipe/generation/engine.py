"""Engines that continue token sequences: one interface, transformers, vLLM and a user's own behind it.

Every request carries its own seed, and a row's random numbers come from that seed alone: the batch a row happens to
stand in changes nothing but floating-point rounding.

A built-in engine is a module NAME_engine.py of this package that names its class `ENGINE`. A class has `open(folder,
needs)`; a plug-in may also be a function or class that is called with the same two and gives an Engine.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nomad_assets import plugins
from nomad_assets.errors import NomadError, shown
from nomad_assets.plugins import Plugin
from nomad_assets.profile.sections import Sampling

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


@dataclass(frozen=True)
class Needs:
    """What an engine is opened for."""

    batch_size: int
    """Sequences that are decoded at once."""
    max_length: int
    """Longest sequence, context and new tokens together."""
    pad_id: int
    """Token id that fills up a batch."""
    memory_share: float = 1.0
    """Of what the engine would take of a GPU."""
    precision: str = "auto"
    """bf16, fp32 or auto."""


class Engine(Protocol):
    name: str
    precision: str
    """What it computes in, for the record."""

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        """Continue every request until a stop token or `sampling.max_new_tokens`; results in the requests' order."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


def choose_engine(setting: str, expected_tokens: int) -> str:
    """The name of the engine for a job of that many tokens; `auto` decides, anything else is taken as said.

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
    precision: str = "auto", plugin: Plugin | None = None,
) -> Engine:  # fmt: skip
    """Load a model folder into the engine of that name, or into a plug-in, whose name is then that of the setting.

    What the arguments mean, `Needs` says. `precision` is that of the transformers engine; vLLM computes in bf16. Raises
    NomadError when there is no such engine or a plug-in fails.
    """
    needs = Needs(batch_size, max_length, pad_id, memory_share, precision)
    if plugin is not None:
        return PluginEngine(plugin, folder, needs)
    if name not in plugins.built_in_names("engines"):
        raise NomadError(f"synthesis.engine = {shown(name)}: an engine that is a plug-in must be located before")
    return plugins.built_in("engines", name).open(folder, needs)


class PluginEngine:
    """A user's engine. What it raises or gives wrongly is an error that names it."""

    def __init__(self, plugin: Plugin, folder: Path, needs: Needs):
        code = plugin.load()
        make = getattr(code, "open", code)
        if not callable(make):
            raise plugin.fault(f"it is {type(code).__name__}, not a function or class that takes (folder, needs)")
        self.plugin = plugin
        self.engine = self._guarded(lambda: make(folder, needs), f"while it opened {folder.name}")
        if missing := [name for name in ("generate", "close") if not callable(getattr(self.engine, name, None))]:
            raise plugin.fault(f"it gave {type(self.engine).__name__}, which has no method {missing[0]!r}")
        self.name = plugins.name_of(plugin.use)
        self.precision = str(getattr(self.engine, "precision", "unknown"))

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        work = f"on {len(requests)} requests, the first with the seed {requests[0].seed if requests else None}"
        made = self._guarded(lambda: list(self.engine.generate(requests, sampling, stop_ids, on_progress)), work)
        if len(made) != len(requests):
            raise self.plugin.fault(f"it gave {len(made)} texts for {len(requests)} requests")
        for request, generation in zip(requests, made, strict=True):
            if not isinstance(generation, Generation) or not all(isinstance(token, int) for token in generation.ids):
                raise self.plugin.fault(
                    f"it gave {shown(generation)} for the request with the seed {request.seed}; give a Generation of ints"
                )
        return made

    def close(self) -> None:
        self._guarded(self.engine.close, "while it was closed")

    def _guarded(self, work: Callable, where: str):
        try:
            return work()
        except Exception as error:
            raise self.plugin.raised(error, where) from error
