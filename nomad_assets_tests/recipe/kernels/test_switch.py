"""Fused against plain kernels, one by one and in a whole step, and that the switch reaches every place."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import nomad_assets
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.kernels import fused, plain
from nomad_assets.recipe.kernels.exchange import exchange_layers
from nomad_assets.recipe.kernels.switch import FUSED, PLAIN, VARIABLE, kernels, using
from nomad_assets.recipe.models.loading import load_model
from nomad_assets.recipe.models.turns import TrainingRow
from nomad_assets.recipe.training.packing import attend_within_rows, pack
from nomad_assets.recipe.training.trainer import response_log_probabilities, weighted_loss
from nomad_assets_tests.recipe.kernels.tensors import random, relative

NAMES = ["row_attention", "head_loss", "head_losses", "scaled_norm", "gated_projection"]
SIZES = [3, 1, 9, 5]
ROWS = [
    TrainingRow("a", [3, 14, 15, 9, 26], [0.0, 0.3, 0.3, 1.0, 1.0]),
    TrainingRow("b", [5, 35], [0.0, 1.0]),
    TrainingRow("c", [8, 9, 7, 9, 32, 38, 4], [0.0, 0.3, 0.3, 0.0, 1.0, 0.0, 1.0]),
]


@pytest.fixture(autouse=True)
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def inputs(name: str) -> tuple:
    """Arguments of a kernel; those that require gradients are compared in theirs."""
    tokens = sum(SIZES)
    targets, weights = torch.arange(tokens) % 11, torch.linspace(0, 2, tokens)
    hidden, head = random(tokens, 6, seed=1), random(11, 6, seed=2)
    attended = tuple(random(heads, tokens, 8, seed=seed) for seed, heads in enumerate((4, 2, 2)))
    return {
        "row_attention": (*attended, SIZES, 0.3),
        "head_loss": (hidden, head, targets, weights, torch.float32),
        "head_losses": (hidden, head, targets, torch.float32),
        "scaled_norm": (random(2, tokens, 6, seed=3), random(6, seed=4), 1e-5, torch.float32),
        "gated_projection": (random(2, 5, 12, seed=5), random(2, 5, 12, seed=6), random(6, 12, seed=7)),
    }[name]


def functions(module) -> dict[str, inspect.Signature]:
    own = inspect.getmembers(module, inspect.isfunction)
    return {name: inspect.signature(f) for name, f in own if name in NAMES}


def test_both_have_the_same_functions_with_the_same_arguments() -> None:
    assert list(functions(fused)) == sorted(NAMES)
    assert functions(fused) == functions(plain)


@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients_agree(name: str) -> None:
    found = {}
    for module in (fused, plain):
        arguments = inputs(name)
        result = getattr(module, name)(*arguments)
        learned = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
        if name != "head_losses":  # which is for scoring and has no gradients
            torch.autograd.backward(result, random(*result.shape, seed=9).detach())
        found[module] = [result.detach(), *(a.grad for a in learned if name != "head_losses")]
    assert len(found[fused]) == len(found[plain])
    for a, b in zip(found[fused], found[plain], strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 9, 4, 1])
def test_windows_agree_with_and_without_gradients(window: int | None) -> None:
    arguments = inputs("row_attention")
    expected = plain.row_attention(*arguments, window)
    assert torch.allclose(fused.row_attention(*arguments, window), expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(fused.row_attention(*arguments, window), expected, atol=1e-6)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_a_whole_step_has_the_same_loss_and_gradients(tiny_model: Path, precision, together: bool) -> None:
    losses, gradients = {}, {}
    for name in (FUSED, PLAIN):
        model = ready_model(tiny_model)
        batch = pack(ROWS, together)
        with using(name), torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = weighted_loss(model, batch, batch["weights"].sum())
            loss.backward()
        losses[name] = loss.item()
        gradients[name] = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    exact = precision == torch.float32
    assert losses[FUSED] == pytest.approx(losses[PLAIN], rel=1e-6 if exact else 1e-3)
    assert relative(gradients[FUSED], gradients[PLAIN]) < (1e-5 if exact else 2e-2)


def ready_model(folder: Path) -> torch.nn.Module:
    model = load_model(folder, torch.float32).train()
    assert attend_within_rows(model)
    assert exchange_layers(model) > 0
    return model


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[str]]]:
    """The kernels that were called, by module."""
    found: dict[str, set[str]] = {FUSED: set(), PLAIN: set()}

    def recorded(module: str, name: str, kernel):
        def record(*arguments):
            found[module].add(name)
            return kernel(*arguments)

        return record

    for label, module in ((FUSED, fused), (PLAIN, plain)):
        for name in NAMES:
            monkeypatch.setattr(module, name, recorded(label, name, getattr(module, name)))
    return found


@pytest.mark.parametrize(("chosen", "other"), [(FUSED, PLAIN), (PLAIN, FUSED)])
def test_the_switch_reaches_training_scoring_and_decoding(tiny_model: Path, called, chosen: str, other: str) -> None:
    with using(other):  # what was made ready under one is switched to the other
        model = ready_model(tiny_model)
    for of_module in called.values():
        of_module.clear()
    batch = pack(ROWS)
    with using(chosen):
        weighted_loss(model, batch, batch["weights"].sum()).backward()
        assert called[chosen] - {"head_losses"} == {"row_attention", "head_loss", "scaled_norm", "gated_projection"}
        called[chosen].clear()
        response_log_probabilities(model, ROWS)
        assert called[chosen] == {"row_attention", "head_losses", "scaled_norm", "gated_projection"}
        called[chosen].clear()
        prefill(model)
        assert called[chosen] == {"row_attention", "scaled_norm", "gated_projection"}
    assert called[other] == set()


def prefill(model) -> None:
    engine = TransformersEngine(model, batch_size=2, pad_id=0)
    engine.generate([Request([3, 4, 5], 0), Request([6, 7], 1)], Sampling(max_new_tokens=1), set())


def test_fused_is_the_default() -> None:
    assert kernels() is fused


def test_the_variable_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in ((PLAIN, plain), (FUSED, fused), ("", fused)):
        monkeypatch.setenv(VARIABLE, value)
        assert kernels() is expected


def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(NomadError, match="NOMAD_KERNELS=fast: must be fused or plain"):
        kernels()


def test_a_block_ends_with_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with using(PLAIN):
        with using(FUSED):
            assert kernels() is fused
        assert kernels() is plain
    assert kernels() is fused
    with pytest.raises(NomadError, match="NOMAD_KERNELS=fast"), using("fast"):
        pytest.fail("a wrong name is said before the block")
    assert kernels() is fused


def test_processes_that_a_block_starts_inherit_its_choice() -> None:
    code = "from nomad_assets.recipe.kernels.switch import kernels; print(kernels().__name__)"
    with using(PLAIN):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == plain.__name__


def test_nothing_outside_the_room_reaches_a_kernel_past_the_switch() -> None:
    package = Path(nomad_assets.__file__).parent
    room = package / "recipe" / "kernels"
    sources = [path for path in package.rglob("*.py") if room not in path.parents]
    assert len(sources) > 50
    past = [
        path.relative_to(package)
        for path in sources
        if any(
            word in path.read_text(encoding="utf-8") for word in ("kernels.fused", "kernels.plain", "kernels import")
        )
    ]
    assert past == []
