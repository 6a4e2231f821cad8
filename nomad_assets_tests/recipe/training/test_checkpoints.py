"""Checkpoints: no pickle anywhere, whole or not there, and every random number generator as it was."""

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.loading import load_model
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.training import checkpoints
from nomad_assets.recipe.training.launch import train_folder
from nomad_assets.recipe.training.trainer import TrainingResult
from nomad_assets_tests.recipe.training.test_trainer import PulledPlugError, rows_of, weights_of

EVERY_STEP = Training(
    epochs=4, batch_size=2, gradient_accumulation=2, learning_rate=1e-3, weight_decay=0.1, precision="fp32",
    checkpoint_minutes=0.0,
)  # fmt: skip
FILES = {"model.safetensors", "optimizer.safetensors", "settings.json", "trainer_state.json", "random-0.json"}


def run(base: Path, folder: Path, progress: Progress = silent, settings: Training = EVERY_STEP) -> TrainingResult:
    """Eight steps from `base` to `folder`/model, with a checkpoint after each."""
    return train_folder(
        base, rows_of(base, 0.5), settings, seed=3, scratch=folder / "scratch", out=folder / "model", dtype="float32",
        progress=progress,
    )  # fmt: skip


def trained(folder: Path) -> torch.Tensor:
    return weights_of(load_model(folder / "model", torch.float32))


def stop_at(step: int) -> Progress:
    def progress(stage: str, done: float, total: float, facts: dict) -> None:
        if done == step:
            raise PulledPlugError

    return progress


def pickled_files(folder: Path) -> list[Path]:
    """Files that are named or begin like a pickle: by its protocol mark, or zipped as torch.save does it."""
    endings = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [p for p in files if p.suffix in endings or re.match(rb"\x80[\x02-\x05]|PK\x03\x04", p.read_bytes()[:4])]


def with_dropout(base: Path, folder: Path) -> Path:
    """A copy of a model with dropout, so that its weights depend on the random numbers of every step."""
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    return folder


@pytest.fixture(scope="module")
def dropout_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_dropout(tiny_model, tmp_path_factory.mktemp("dropout") / "model")


@pytest.fixture(scope="module")
def uninterrupted(dropout_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, torch.Tensor]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = run(dropout_model, folder, settings=EVERY_STEP.model_copy(update={"checkpoint_minutes": 60.0}))
    return result, trained(folder)


def test_training_and_resuming_use_no_pickle(dropout_model, tmp_path, monkeypatch, uninterrupted):
    def banned(*_, **__):
        raise AssertionError("a pickle is read or written")

    names = ("dump", "dumps", "load", "loads", "Pickler", "Unpickler", "_Pickler", "_Unpickler")
    for module, name in [(torch, "save"), (torch, "load"), *((pickle, name) for name in names)]:
        monkeypatch.setattr(module, name, banned)
    with pytest.raises(PulledPlugError):
        run(dropout_model, tmp_path, progress=stop_at(5))
    result = run(dropout_model, tmp_path)
    monkeypatch.undo()
    assert result.resumed_from == 4
    assert result.curve == uninterrupted[0].curve
    assert torch.equal(trained(tmp_path), uninterrupted[1])
    assert pickled_files(tmp_path) == []


def test_a_checkpoint_is_safetensors_and_json_and_replaces_the_one_before(dropout_model, tmp_path):
    run(dropout_model, tmp_path)
    (checkpoint,) = (tmp_path / "scratch" / "checkpoints").iterdir()
    assert checkpoint.name == "checkpoint-00000007"
    assert {path.name for path in checkpoint.iterdir()} == FILES
    for path in checkpoint.glob("*.json"):
        json.loads(path.read_text())
    weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    optimizer = safetensors.torch.load_file(checkpoint / "optimizer.safetensors")
    assert {t.dtype for t in weights.values()} == {torch.float32}
    assert set(optimizer) == {f"{name}.{key}" for name in weights for key in ("step", "exp_avg", "exp_avg_sq")}


@pytest.mark.parametrize(("cut_at", "resumed_from"), [(1, 0), (4, 3)])
def test_a_checkpoint_cut_off_while_written_is_not_resumed_from(
    dropout_model, tmp_path, monkeypatch, uninterrupted, cut_at, resumed_from
):
    whole, written = safetensors.torch.save_file, []

    def cut(tensors, path):
        whole(tensors, path)
        written.append(path.name)
        if path.name == "optimizer.safetensors" and written.count(path.name) == cut_at:
            os.truncate(path, 100)
            raise PulledPlugError

    monkeypatch.setattr(safetensors.torch, "save_file", cut)
    with pytest.raises(PulledPlugError):
        run(dropout_model, tmp_path)
    monkeypatch.undo()
    left = tmp_path / "scratch" / "checkpoints"
    assert (left / "partial" / "optimizer.safetensors").stat().st_size == 100
    result = run(dropout_model, tmp_path)
    assert result.resumed_from == resumed_from
    assert torch.equal(trained(tmp_path), uninterrupted[1])
    assert [path.name for path in left.iterdir()] == ["checkpoint-00000007"]


KILLED = """
import os, signal, sys
from pathlib import Path
import safetensors.torch
from nomad_assets_tests.recipe.training.test_checkpoints import run

whole = safetensors.torch.save_file

def kill(tensors, path):
    whole(tensors, path)
    if path.name == "optimizer.safetensors" and (path.parents[1] / "checkpoint-00000003").exists():
        os.truncate(path, 100)
        os.kill(os.getpid(), signal.SIGKILL)

safetensors.torch.save_file = kill
run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_process_killed_while_it_writes_a_checkpoint(dropout_model, tmp_path, uninterrupted):
    command = [sys.executable, "-c", KILLED, str(dropout_model), str(tmp_path)]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    left = tmp_path / "scratch" / "checkpoints"
    assert {path.name for path in left.iterdir()} == {"checkpoint-00000003", "partial"}
    assert run(dropout_model, tmp_path).resumed_from == 3
    assert torch.equal(trained(tmp_path), uninterrupted[1])


def test_latest_is_the_highest_step_of_this_format(tmp_path):
    assert checkpoints.latest(tmp_path / "none") is None
    for name in ("partial", "checkpoint-900", "checkpoint-00000009.partial"):
        (tmp_path / name).mkdir()
    assert checkpoints.latest(tmp_path) is None
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step:08d}").mkdir()
    assert checkpoints.latest(tmp_path) == tmp_path / "checkpoint-00000100"


@pytest.mark.parametrize("name", sorted(FILES - {"trainer_state.json"}))
def test_a_damaged_checkpoint_is_an_error_that_names_the_file(dropout_model, tmp_path, name):
    with pytest.raises(PulledPlugError):
        run(dropout_model, tmp_path, progress=stop_at(3))
    checkpoint = checkpoints.latest(tmp_path / "scratch" / "checkpoints")
    os.truncate(checkpoint / name, 10)
    expected = rf"^{checkpoint / name}: the checkpoint cannot be read \(.*\); remove {checkpoint} to train without it$"
    with pytest.raises(NomadError, match=expected):
        run(dropout_model, tmp_path)


def draws() -> list[float]:
    # normal numbers come in pairs, of which each generator keeps the second
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(1).item(),
        torch.randn(1).item(),
    ]


def test_random_numbers_go_on_where_they_were():
    random.gauss(0, 1), np.random.randn()
    state = json.loads(json.dumps(checkpoints._random_state()))
    expected = draws()
    assert draws() != expected
    checkpoints._set_random_state(state)
    assert draws() == expected
