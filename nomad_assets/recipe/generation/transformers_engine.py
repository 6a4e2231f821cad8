"""Batched decoding on a transformers model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.decoded_batch import Batch
from nomad_assets.recipe.generation.engine import Generation, Needs, Request
from nomad_assets.recipe.generation.series import More, Running, Series, every_one
from nomad_assets.recipe.training.packing import attend_within_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FILL_AT = 0.75  # share of a batch that is still running when new rows come in


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
        alone = [Series(request.context, [request.seed]) for request in requests]
        return [one for (one,) in self.sample(alone, sampling, stop_ids, every_one(alone), on_progress)]

    def sample(
        self,
        series: Sequence[Series],
        sampling: Sampling,
        stop_ids: set[int],
        more: More,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[list[Generation]]:
        """What series.py says: a context is read once, and its later continuations start from what the cache holds of it."""
        running = Running(series, more)
        # Rows of like length share a prefill, so that little is padding; those of one series stand together.
        waiting = sorted(running.begin_all(), key=lambda name: (len(series[name[0]].context), name))
        batch: Batch | None = None
        while waiting or batch is not None:
            room = self.batch_size - (len(batch) if batch else 0)
            # New rows come in when a quarter of the places are free: a prefill of few rows costs as much as one of many.
            if waiting and (batch is None or room >= self.batch_size * (1 - FILL_AT)):
                taken, waiting = waiting[:room], waiting[room:]
                new = Batch(self.model, self.pad_id, self.packs, taken, series, sampling, stop_ids)
                batch = new if batch is None else batch.joined(new)
            done = running.done
            batch.step(running.ended)
            if running.done > done:
                on_progress(running.done)
            batch = batch if len(batch) else None
        return running.results()

    def close(self) -> None:
        del self.model


def _weights_dtype(precision: str) -> "torch.dtype":
    """dtype of the weights for decoding, where one token per row and step makes thin matrices."""
    import torch

    from nomad_assets.recipe.models.device import computes_in_bf16

    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and computes_in_bf16(64)) else torch.float32


ENGINE = TransformersEngine
