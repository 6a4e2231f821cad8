"""Loading and saving models and tokenizers: safetensors only, never pickle, never code from a hub."""

import copy
import fnmatch
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import parse_hub

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# `training_args.bin`, which trainers leave beside a model, holds no weights and is never opened.
PICKLED = (
    "pytorch_model*.bin", "model*.bin", "adapter_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle",
)  # fmt: skip


def is_pickled(name: str) -> bool:
    """Whether a file of this name holds pickled weights."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in PICKLED)


def refuse_pickled_weights(folder: Path, place: str) -> None:
    """Raises NomadError when a local model folder, or a folder inside it, holds a pickled weight file.

    Also where safetensors lie beside it: which of the two a library reads is its own choice.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_pickled(path.name):
            raise NomadError(
                f"{place}: {path.relative_to(folder)} is a pickled weight file, and pickled files can run code when they are "
                "read; convert the weights to safetensors (save_pretrained writes them) and delete the file"
            )


def load_tokenizer(source: str | Path) -> "PreTrainedTokenizerBase":
    """A fast tokenizer from a folder or hf:// address. Raises NomadError when there is none."""
    from transformers import AutoTokenizer

    name, revision = _locate(source)
    if not str(source).startswith("hf://") and not any(
        (Path(name) / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json")
    ):
        raise NomadError(
            f"{source}: the model folder has no tokenizer (tokenizer.json); save the tokenizer beside the model"
        )
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise NomadError(f"{source}: the tokenizer could not be loaded: {error}") from error


def load_model(source: str | Path, dtype: "torch.dtype") -> "PreTrainedModel":
    """A causal language model with safetensors weights, in `dtype`, on the CPU."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    name, revision = _locate(source)
    if not str(source).startswith("hf://") and not list(Path(name).glob("*.safetensors")):
        found = ", ".join(sorted(p.name for p in Path(name).iterdir())) if Path(name).is_dir() else "no such folder"
        raise NomadError(f"{source}: no safetensors weights (found: {found}); nothing else is read, convert them first")
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise NomadError(f"{source}: the model could not be loaded: {error}") from error
    if found["missing_keys"]:
        # transformers fills these with random numbers and only warns.
        missing = ", ".join(sorted(found["missing_keys"])[:5])
        raise NomadError(
            f"{source}: {len(found['missing_keys'])} weights are missing: {missing}; give a complete causal language model"
        )
    return model


def save_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    out: Path,
    dtype: str,
    state: "dict[str, torch.Tensor] | None" = None,
) -> None:
    """Save weights in `dtype` and the tokenizer to `out`; leaves the model itself as it is.

    `out` appears when it is whole, in place of what a run that died may have left there.
    `state` is the state dict to save where the model's own is not whole (FSDP).
    """
    import torch

    kind = getattr(torch, dtype)
    tied = set(model.all_tied_weights_keys) if model.config.tie_word_embeddings else set()
    state = {
        name: tensor.detach().to(kind).contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in (model.state_dict() if state is None else state).items()
        if name not in tied
    }
    partial = out.with_name(f"{out.name}.partial")
    for leftover in (partial, out):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(partial, state_dict=state)
    # save_pretrained notes the dtype of the model, not that of the state it was given.
    config = copy.deepcopy(model.config)
    config.dtype = kind
    config.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(out)


def longest_row(folder: Path) -> int | None:
    """The longest row that a model takes, in tokens; None where its configuration does not say."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")


def link_model(source: Path, out: Path) -> None:
    """The model folder `source` as `out` too, without a second copy of its bytes where the file system allows."""

    def link(file: str, target: str) -> None:
        try:
            os.link(os.path.realpath(file), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(file, target)

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, copy_function=link)


def _locate(source: str | Path) -> tuple[str, str | None]:
    if str(source).startswith("hf://"):
        hub = parse_hub(str(source))
        return hub["name"], hub["revision"]
    if not Path(source).is_dir():
        from nomad_assets.recipe.models.base_models import BUILT_IN

        known = ", ".join(BUILT_IN)
        raise NomadError(
            f"model source {str(source)!r}: no such folder; give a folder, hf://owner/name, or one of: {known}"
        )
    refuse_pickled_weights(Path(source), str(source))
    return str(source), None


def quiet() -> None:
    """No progress bars or advice from the libraries: the steps report their own."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
