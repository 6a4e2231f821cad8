"""Memory that is freed stays with the process, and weights do not stay in their file.

The next step of the same shape finds freed memory mapped. By default the C library gives large freed blocks back to the
system at once, and the system hands out zeroed pages for the next ones. For tensors of several MB, allocated and freed
hundreds of times a second, that was a tenth of a training step.
"""

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# mallopt(3) of the GNU C library
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """For the rest of the process. Without the GNU C library nothing happens."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # Releases before 2.35 refuse more than 32 MiB, and without a threshold of their own would map every tensor anew.
        if not mallopt(M_MMAP_THRESHOLD, LARGEST):
            mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(M_TRIM_THRESHOLD, LARGEST)


def take_from_file(model: "torch.nn.Module") -> int:
    """Copy weights that lie in a mapped safetensors file into memory of the process (Linux); how many there were.

    Such weights are read as they are used, which is what inference wants. The first step of an optimizer writes to each of
    their pages, and has each copied by a fault of its own: a second for 500 MB, against a sixth of it in one go.
    """
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.is_file() else []
    bounds = [line.split(maxsplit=1)[0].split("-") for line in lines if line.endswith(".safetensors")]
    files = [(int(start, 16), int(end, 16)) for start, end in bounds]
    mapped = [p for p in model.parameters() if any(start <= p.data_ptr() < end for start, end in files)]
    for parameter in mapped:
        parameter.data = parameter.data.clone()
    return len(mapped)
