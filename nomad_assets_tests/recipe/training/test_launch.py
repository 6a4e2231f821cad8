"""Several processes give what one process gives on the same global batch, and resume as one does."""

from pathlib import Path

import pytest
import torch

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.loading import load_model
from nomad_assets.recipe.training.launch import train_folder
from nomad_assets.recipe.training.trainer import TrainingResult
from nomad_assets_tests.recipe.training.test_checkpoints import pickled_files, with_dropout
from nomad_assets_tests.recipe.training.test_trainer import PulledPlugError, rows_of, weights_of

SETTINGS = Training(epochs=3, batch_size=8, learning_rate=1e-3, warmup=0.0, precision="fp32", max_grad_norm=1e9)


@pytest.mark.system
def test_two_processes_equal_one_on_the_same_global_batch(tiny_model: Path, tmp_path: Path) -> None:
    """8 rows at once, or 2 processes with 2 rows and 2 accumulation steps each; rows weigh the same wherever they are."""
    rows = rows_of(tiny_model, 0.3)
    runs = {}
    for name, change in {"one": {}, "two": {"batch_size": 2, "gradient_accumulation": 2, "processes": 2}}.items():
        seen: list[tuple] = []
        settings = SETTINGS.model_copy(update=change)
        folder = tmp_path / name
        result = train_folder(
            tiny_model, rows, settings, seed=1, scratch=folder / "scratch", out=folder / "model", dtype="float32",
            progress=lambda *call, seen=seen: seen.append(call),
        )  # fmt: skip
        runs[name] = result, weights_of(load_model(folder / "model", torch.float32)), seen
    (one, one_weights, _), (two, two_weights, seen) = runs["one"], runs["two"]
    assert one.steps == two.steps == len(seen) == 3
    assert [e["loss"] for e in two.curve] == pytest.approx([e["loss"] for e in one.curve], abs=1e-5)
    assert torch.allclose(one_weights, two_weights, atol=1e-4)


@pytest.mark.system
def test_two_processes_resume_to_bitwise_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"epochs": 6, "batch_size": 2, "gradient_accumulation": 2, "processes": 2, "checkpoint_minutes": 0.0}
    )
    base, rows = with_dropout(tiny_model, tmp_path / "base"), rows_of(tiny_model, 0.3)

    def pull_the_plug(stage: str, done: float, total: float, facts: dict) -> None:
        if done == 2:
            raise PulledPlugError

    def run(name: str, **options) -> TrainingResult:
        folder = tmp_path / name
        return train_folder(
            base,
            rows,
            settings,
            seed=1,
            scratch=folder / "scratch",
            out=folder / "model",
            dtype="float32",
            **options,
        )

    whole = run("whole")
    with pytest.raises(PulledPlugError):
        run("cut", progress=pull_the_plug)
    assert not (tmp_path / "cut" / "model").exists()
    resumed = run("cut")
    assert 0 < resumed.resumed_from < resumed.steps == whole.steps == 6
    assert resumed.curve == whole.curve
    ends = [weights_of(load_model(tmp_path / name / "model", torch.float32)) for name in ("whole", "cut")]
    assert torch.equal(*ends)
    (checkpoint,) = (tmp_path / "cut" / "scratch" / "checkpoints").iterdir()
    assert {p.name for p in checkpoint.iterdir()} >= {"random-0.json", "random-1.json"}
    assert pickled_files(tmp_path) == []


@pytest.mark.system
def test_a_process_that_fails_is_an_error_with_its_output(tiny_model: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"processes": 2})
    with pytest.raises(NomadError, match=r"training on 2 processes failed:(.|\n)*no safetensors weights"):
        train_folder(
            tmp_path, rows_of(tiny_model, 1.0), settings, seed=1, scratch=tmp_path / "s", out=tmp_path / "m", dtype="float32"
        )  # fmt: skip
