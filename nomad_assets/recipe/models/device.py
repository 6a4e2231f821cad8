"""The device and the number format that this machine computes with."""

import functools
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.recipe.threads import warn_of_spinning

if TYPE_CHECKING:
    import torch


def device() -> "torch.device":
    """What this process computes on; warns once where that is a CPU whose threads spin for too long (threads.py)."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    warn_of_spinning()
    return torch.device("cpu")


def matmul_dtype(x: "torch.Tensor") -> "torch.dtype":
    """The dtype of a matrix product with this tensor: autocast's where autocast is on, else the tensor's own."""
    import torch

    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


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
    seconds = {dtype: _product_seconds(dtype, rows) for dtype in (torch.float32, torch.bfloat16)}
    return seconds[torch.bfloat16] * 1.25 < seconds[torch.float32]


def _product_seconds(dtype: "torch.dtype", rows: int) -> float:
    """Fastest of several (rows, 576) x (576, 1536) products on the CPU, in seconds."""
    import torch

    a, b = torch.ones(rows, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype).T
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - begun)
    return min(times)


# Rows of the matrix products that decide about a precision: of a training step, and of decoding a batch.
TRAINED_ROWS, DECODED_ROWS = 512, 64


def agreed_precision(setting: str, rows: int, agreed: Callable[[str, Callable[[], str]], str]) -> str:
    """`bf16` or `fp32` for products of that many rows; `auto` is what a machine of this kind measured the first time.

    It is measured in time, so that a busy moment could turn it; and all processes that work together must compute alike.
    So `agreed` (question, how to answer it) gives the answer that they share, one for each kind of machine.
    """
    if setting != "auto":
        return setting
    import torch

    kind = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"{platform.processor()} {_cpu()}"
    question = f"precision of {rows} rows on {kind}, {os.cpu_count()} cores, torch {torch.__version__}"
    return agreed(question, lambda: "bf16" if computes_in_bf16(rows) else "fp32")


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
