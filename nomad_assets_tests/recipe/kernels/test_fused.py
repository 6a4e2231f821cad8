"""The written-out kernels against torch's own formulas: results, gradients, and no more rounding than torch has."""

import pytest
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from nomad_assets.recipe.kernels import fused
from nomad_assets.recipe.kernels.fused import GatedProjection, HeadLoss, RowAttention, ScaledNorm, blocks, head_losses
from nomad_assets_tests.recipe.kernels.tensors import random, relative

BF16 = 2.0**-8
"""Half the distance of neighbours in bfloat16, relative: its significand has 8 bits."""


# Attention within rows.

ROWS = [[1], [6], [1, 1, 1], [3, 1, 5, 2], [17, 40, 1]]


def by_torch(query, key, value, sizes: list[int], scale: float) -> torch.Tensor:
    """Each row alone, heads repeated, torch's attention."""
    groups = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    rows = zip(*(part[None].split(sizes, 2) for part in (query, key, value)), strict=True)
    return torch.cat([scaled_dot_product_attention(*row, is_causal=True, scale=scale) for row in rows], 2)[0]


def attention_and_gradients(attention, dtype: torch.dtype, sizes: list[int], heads: int = 4, key_heads: int = 2):
    length, width = sum(sizes), 8
    query = random(heads, length, width, seed=1, dtype=dtype)
    key, value = (random(key_heads, length, width, seed=seed, dtype=dtype) for seed in (2, 3))
    output = attention(query, key, value, sizes, 0.3)
    output.backward(random(heads, length, width, seed=4, dtype=dtype).detach())
    return output.detach(), query.grad, key.grad, value.grad


@pytest.mark.parametrize("sizes", ROWS, ids=str)
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 2), (4, 4), (4, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_row_attention_and_its_gradients(sizes, heads, key_heads, dtype):
    """Probabilities are float32 whatever comes in, so float64 agrees to float32 too."""
    ours = attention_and_gradients(RowAttention.apply, dtype, sizes, heads, key_heads)
    theirs = attention_and_gradients(by_torch, torch.float64, sizes, heads, key_heads)
    for name, a, b in zip(("output", "query", "key", "value"), ours, theirs, strict=True):
        assert a.dtype == dtype and a.shape == b.shape
        assert torch.allclose(a.double(), b, rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("sizes", ROWS[1:], ids=str)
def test_row_attention_rounds_no_more_than_torch_in_bf16(sizes):
    truth = attention_and_gradients(by_torch, torch.float32, sizes)
    ours = attention_and_gradients(RowAttention.apply, torch.bfloat16, sizes)
    theirs = attention_and_gradients(by_torch, torch.bfloat16, sizes)
    for name, a, b, true in zip(("output", "query", "key", "value"), ours, theirs, truth, strict=True):
        assert a.dtype == torch.bfloat16
        error, torch_error = (a.double() - true).norm().item(), (b.double() - true).norm().item()
        assert error <= 1.5 * torch_error + 1e-6, name


def test_row_attention_by_hand():
    """Two rows. The second token of the first sees scores 0 and ln 3: shares 1/4 and 3/4. The second row sees itself."""
    query = torch.tensor([[[0.0], [1.0], [5.0]]])
    key = torch.tensor([[[0.0], [torch.tensor(3.0).log().item()], [7.0]]])
    value = torch.tensor([[[4.0], [8.0], [100.0]]])
    output = RowAttention.apply(query, key, value, [2, 1], 1.0)
    assert output.flatten().tolist() == pytest.approx([4.0, 0.25 * 4 + 0.75 * 8, 100.0])


def test_row_attention_leaves_its_inputs_alone():
    before = [random(2, 5, 4, seed=seed).detach() for seed in (1, 2, 3)]
    parts = [part.clone().requires_grad_() for part in before]
    RowAttention.apply(*parts, [2, 3], 0.5).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, parts, strict=True))


# The loss of the head.

POSITIONS, VOCABULARY, WIDTH = 7, 11, 5


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two positions: three whole ones and a half."""
    monkeypatch.setattr(fused, "LOGITS_BYTES", 4 * VOCABULARY * 2)


def head_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(VOCABULARY, (POSITIONS,), generator=generator)
    weights = torch.tensor([1.0, 0.3, 0.0, 1.0, 0.5, 1.0, 2.0])
    return random(POSITIONS, WIDTH, seed=1), random(VOCABULARY, WIDTH, seed=2), targets, weights


@pytest.mark.parametrize("factor", [1.0, 2.5, -0.5])
def test_head_loss_and_its_gradients(small_blocks, factor):
    hidden, head, targets, weights = head_inputs()
    loss = HeadLoss.apply(hidden, head, targets, weights, torch.float32)
    (loss * factor).backward()
    of_hidden, of_head = hidden.grad, head.grad
    hidden.grad = head.grad = None
    expected = (weights * cross_entropy(hidden @ head.T, targets, reduction="none")).sum()
    (expected * factor).backward()
    assert loss.shape == () and loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(of_hidden, hidden.grad, rtol=1e-5, atol=1e-6)
    assert torch.allclose(of_head, head.grad, rtol=1e-5, atol=1e-6)


def test_head_loss_of_uniform_logits_by_hand():
    """Hidden states of zero: every token has probability 1/V, and only the head's gradient, hidden^T (p - 1), is zero."""
    hidden, head = torch.zeros(2, 3, requires_grad=True), torch.eye(4, 3).requires_grad_()
    loss = HeadLoss.apply(hidden, head, torch.tensor([0, 3]), torch.tensor([1.0, 2.0]), torch.float32)
    loss.backward()
    assert loss.item() == pytest.approx(3 * torch.tensor(4.0).log().item())
    assert hidden.grad.tolist() == [[-0.75, 0.25, 0.25], [0.5, 0.5, 0.5]]
    assert head.grad.tolist() == [[0.0] * 3] * 4


def test_head_loss_in_bf16_is_what_autocast_computes(small_blocks):
    hidden, head, targets, weights = head_inputs()
    loss = HeadLoss.apply(hidden, head, targets, weights, torch.bfloat16)
    loss.backward()
    of_hidden, of_head = hidden.grad, head.grad
    hidden.grad = head.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.nn.functional.linear(hidden, head)
    assert logits.dtype == torch.bfloat16
    expected = (weights * cross_entropy(logits.float(), targets, reduction="none")).sum()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert of_hidden.dtype == of_head.dtype == torch.float32, "gradients have the parameters' kind"
    assert relative(of_hidden, hidden.grad) < BF16
    assert relative(of_head, head.grad) < BF16


def test_head_loss_of_no_position():
    hidden, head = torch.zeros(0, WIDTH, requires_grad=True), random(VOCABULARY, WIDTH, seed=2)
    loss = HeadLoss.apply(hidden, head, torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.float32)
    loss.backward()
    assert loss.item() == 0.0
    assert head.grad.abs().max() == 0 and hidden.grad.shape == (0, WIDTH)


def test_head_losses(small_blocks):
    hidden, head, targets, _ = head_inputs()
    with torch.no_grad():
        losses = head_losses(hidden, head, targets, torch.float32)
        assert torch.allclose(losses, cross_entropy(hidden @ head.T, targets, reduction="none"), rtol=1e-5)
        assert head_losses(hidden[:0], head, targets[:0], torch.float32).shape == (0,)


def test_blocks_by_hand():
    """64 MiB hold the float32 logits of 341 positions over SmolLM2's 49,152 tokens."""
    assert fused.LOGITS_BYTES == 64 * 2**20
    assert blocks(1000, 49_152) == [slice(0, 341), slice(341, 682), slice(682, 1000)]
    assert blocks(341, 49_152) == [slice(0, 341)]
    assert blocks(2, 2**40) == [slice(0, 1), slice(1, 2)]
    assert blocks(0, 49_152) == [slice(0, 0)]


# Norms and gated layers.


def norms() -> tuple[LlamaRMSNorm, torch.Tensor, torch.Tensor]:
    norm = LlamaRMSNorm(16, eps=1e-5)
    norm.weight.data = random(16, seed=5).detach()
    return norm, random(2, 3, 16, seed=6), random(2, 3, 16, seed=7).detach()


def test_scaled_norm_by_hand():
    """sqrt((9 + 16) / 2) = 3.5355."""
    found = ScaledNorm.apply(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0]), 0.0, torch.float32)
    assert found.tolist() == [pytest.approx([3 / 12.5**0.5, 8 / 12.5**0.5])]


def test_scaled_norm_and_its_gradients():
    norm, x, grad = norms()
    norm(x).backward(grad)
    expected = x.grad, norm.weight.grad
    x.grad = norm.weight.grad = None
    found = ScaledNorm.apply(x, norm.weight, norm.variance_epsilon, torch.float32)
    found.backward(grad)
    assert torch.allclose(found, norm(x), rtol=1e-6, atol=1e-6)
    assert torch.allclose(x.grad, expected[0], rtol=1e-5, atol=1e-6)
    assert torch.allclose(norm.weight.grad, expected[1], rtol=1e-5, atol=1e-6)


def test_scaled_norm_passes_a_numerical_check_of_its_gradients():
    _, x, grad = norms()
    with torch.no_grad():
        weight, step, direction = random(16, seed=5), 1e-2, random(2, 3, 16, seed=8)

        def along(distance: float) -> float:
            moved = ScaledNorm.apply(x + distance * direction, weight, 1e-5, torch.float32)
            return (moved.double() * grad).sum().item()

        slope = (along(step) - along(-step)) / (2 * step)
    ScaledNorm.apply(x, weight, 1e-5, torch.float32).backward(grad)
    assert (x.grad * direction).sum().item() == pytest.approx(slope, rel=2e-3)


def test_scaled_norm_in_bf16_is_the_plain_one_rounded_once():
    norm, x, grad = norms()
    with torch.autocast("cpu", torch.bfloat16):
        plain = norm(x)
        found = ScaledNorm.apply(x, norm.weight, norm.variance_epsilon, torch.bfloat16)
    assert plain.dtype == torch.float32 and found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), plain, rtol=BF16, atol=1e-6)
    plain.backward(grad)
    expected = x.grad, norm.weight.grad
    x.grad = norm.weight.grad = None
    found.backward(grad.bfloat16())
    assert relative(x.grad, expected[0]) < BF16
    assert relative(norm.weight.grad, expected[1]) < BF16


def gated() -> tuple[LlamaMLP, torch.Tensor, torch.Tensor]:
    layer = LlamaMLP(LlamaConfig(hidden_size=16, intermediate_size=24, num_attention_heads=2))
    for seed, part in enumerate(layer.parameters()):
        part.data = random(*part.shape, seed=seed).detach() / 4
    return layer, random(2, 3, 16, seed=6), random(2, 3, 16, seed=7).detach()


def gradients_of(
    output: torch.Tensor, grad: torch.Tensor, layer: torch.nn.Module, x: torch.Tensor
) -> list[torch.Tensor]:
    layer.zero_grad()
    x.grad = None
    output.backward(grad.to(output.dtype))
    return [x.grad, *(part.grad for part in layer.parameters())]


def ours(layer: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
    return GatedProjection.apply(layer.gate_proj(x), layer.up_proj(x), layer.down_proj.weight)


def test_gated_projection_by_hand():
    """silu(ln 3) = ln 3 * 3/4."""
    three = torch.tensor(3.0).log().item()
    found = GatedProjection.apply(torch.tensor([[three, 0.0]]), torch.tensor([[2.0, 9.0]]), torch.tensor([[1.0, 1.0]]))
    assert found.item() == pytest.approx(three * 0.75 * 2)


def test_gated_projection_and_its_gradients():
    layer, x, grad = gated()
    plain, found = layer(x), ours(layer, x)
    assert torch.allclose(found, plain, rtol=1e-6, atol=1e-6)
    expected = gradients_of(plain, grad, layer, x)
    for a, b in zip(gradients_of(found, grad, layer, x), expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_gated_projection_rounds_no_more_than_the_plain_one_under_autocast():
    layer, x, grad = gated()
    truth = layer(x)
    true_gradients = gradients_of(truth, grad, layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        plain, found = layer(x), ours(layer, x)
    assert plain.dtype == found.dtype == torch.bfloat16
    assert relative(found, truth) <= 1.5 * relative(plain, truth)
    theirs = gradients_of(plain, grad, layer, x)
    for a, b, true in zip(gradients_of(found, grad, layer, x), theirs, true_gradients, strict=True):
        assert a.dtype == torch.float32
        assert relative(a, true) <= 1.5 * relative(b, true)
