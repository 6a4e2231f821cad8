"""Checkpoints of a training run: safetensors and JSON, and either whole or not there.

    <folder>/checkpoint-00000012/model.safetensors      the weights that are trained, in their own dtype
                                 optimizer.safetensors  the optimizer's tensors, named <parameter>.<state>
                                 settings.json          the optimizer's parameter groups, and the schedule
                                 trainer_state.json     transformers' record of the steps; the name is its own
                                 random-0.json          random number generators of process 0, and so on
    <folder>/partial/                                   a checkpoint that is being written or removed

A checkpoint is written in `partial`, synced, and renamed, so that one that was cut off never has a checkpoint's name.
transformers' own checkpoints are pickled in part, and a pickle can run code when it is read; none is read or written.

One path serves one process, copies in several (DDP) and shards (FSDP): torch's distributed state dicts are whole and
named by parameter in all three. Every process takes part in saving; the first one writes.
"""

import json
import random
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.durable import sync_path
from nomad_assets.errors import NomadError

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

PARTIAL = "partial"
NAME = re.compile(r"checkpoint-\d{8}")
MODEL, OPTIMIZER, SETTINGS = "model.safetensors", "optimizer.safetensors", "settings.json"


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder."""
    return max((path for path in folder.glob("checkpoint-*") if NAME.fullmatch(path.name)), default=None)


def resumable_trainer() -> type["Trainer"]:
    """transformers' Trainer with these checkpoints in place of its own; made late, since it needs transformers."""
    from transformers import Trainer

    class ResumableTrainer(Trainer):
        def _save_checkpoint(self, model, trial):
            save(self, Path(self.args.output_dir))

        def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
            load_weights(self.model if model is None else model, Path(resume_from_checkpoint))

        def _load_optimizer_and_scheduler(self, checkpoint):
            if checkpoint is not None:
                load_optimizer(self.model, _plain(self.optimizer), self.lr_scheduler, Path(checkpoint))

        def _load_rng_state(self, checkpoint):
            if checkpoint is not None:
                _set_random_state(_read_json(Path(checkpoint) / _random_name(self.args.process_index)))

        def _load_scaler(self, checkpoint):
            """There is none: neither bf16 nor fp32 scales the loss."""

    return ResumableTrainer


def save(trainer: "Trainer", folder: Path) -> None:
    """Write the checkpoint of the step the trainer is at, and remove earlier ones."""
    partial = folder / PARTIAL
    first = trainer.is_world_process_zero()
    if first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()  # not its parents: a staging folder that was removed must stay so
    trainer.accelerator.wait_for_everyone()
    _write_json(partial / _random_name(trainer.args.process_index), _random_state())
    write_states(trainer.model, _plain(trainer.optimizer), trainer.lr_scheduler, partial, first)
    if first:
        trainer.state.save_to_json(str(partial / "trainer_state.json"))
    trainer.accelerator.wait_for_everyone()
    if first:
        earlier = sorted(path for path in folder.glob("checkpoint-*") if NAME.fullmatch(path.name))
        for path in [*partial.iterdir(), partial]:
            sync_path(path)
        partial.rename(folder / f"checkpoint-{trainer.state.global_step:08d}")
        sync_path(folder)
        for path in earlier:
            path.rename(partial)
            shutil.rmtree(partial)


def write_states(
    model: "torch.nn.Module", optimizer: "torch.optim.Optimizer", scheduler, folder: Path, first: bool
) -> None:
    """Weights, optimizer and schedule; gathered from all processes, written by the first."""
    import torch
    from safetensors.torch import save_file
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    if first:
        tied = _tied(model)
        save_file({name: t.contiguous() for name, t in weights.items() if name not in tied}, folder / MODEL)
    del weights
    found = get_optimizer_state_dict(model, optimizer, options=options)
    if not first:
        return
    tensors, other = {}, {}
    for parameter, state in found["state"].items():
        for name, value in state.items():
            (tensors if torch.is_tensor(value) else other)[f"{parameter}.{name}"] = value
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / OPTIMIZER)
    schedule = scheduler.state_dict()
    _write_json(folder / SETTINGS, {"groups": found["param_groups"], "state": other, "schedule": schedule})


def load_weights(model: "torch.nn.Module", checkpoint: Path) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    weights = _read_tensors(checkpoint / MODEL)
    weights |= {name: weights[source] for name, source in _tied(model).items()}
    set_model_state_dict(model, weights, options=StateDictOptions(full_state_dict=True))


def load_optimizer(model: "torch.nn.Module", optimizer: "torch.optim.Optimizer", scheduler, checkpoint: Path) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    settings = _read_json(checkpoint / SETTINGS)
    state: dict[str, dict] = {}
    for name, value in (_read_tensors(checkpoint / OPTIMIZER) | settings["state"]).items():
        parameter, _, key = name.rpartition(".")
        state.setdefault(parameter, {})[key] = value
    whole = {"state": state, "param_groups": settings["groups"]}
    set_optimizer_state_dict(model, optimizer, whole, options=StateDictOptions(full_state_dict=True))
    scheduler.load_state_dict(settings["schedule"])


def first_process_says(answer: bool, device: "torch.device") -> bool:
    """The first process's answer, in every process: clocks differ, and a checkpoint is written together or not at all."""
    import torch

    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return answer
    flag = torch.tensor(int(answer), device=device)
    torch.distributed.broadcast(flag, src=0)
    return bool(flag)


def _plain(optimizer) -> "torch.optim.Optimizer":
    """The optimizer inside accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _tied(model: "torch.nn.Module") -> dict[str, str]:
    """Names that share another weight, which safetensors stores once -> the name it is stored under."""
    return dict(model.all_tied_weights_keys) if model.config.tie_word_embeddings else {}


def _random_name(process: int) -> str:
    return f"random-{process}.json"


def _random_state() -> dict[str, list | None]:
    import numpy as np
    import torch

    kind, keys, *rest = np.random.get_state()
    return {
        "python": list(random.getstate()),
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state().tolist(),
        "cuda": torch.cuda.get_rng_state().tolist() if torch.cuda.is_available() else None,
    }


def _set_random_state(state: dict[str, list | None]) -> None:
    import numpy as np
    import torch

    version, words, spare = state["python"]
    random.setstate((version, tuple(words), spare))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> NomadError:
    return NomadError(f"{path}: the checkpoint cannot be read ({error}); remove {path.parent} to train without it")
