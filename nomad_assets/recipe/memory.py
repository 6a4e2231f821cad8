"""Memory of the process: what is freed is kept, weights leave their file before they are written to, peaks are measured.

The next step of the same shape finds freed memory mapped. By default the C library gives large freed blocks back to the
system at once, and the system hands out zeroed pages for the next ones. For tensors of several MB, allocated and freed
hundreds of times a second, that was a tenth of a training step.
"""

import ctypes
import re
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


def reset_peak_memory() -> bool:
    """Start counting the process's peak afresh, so that it is this step's (Linux); False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory(was_reset: bool) -> int | None:
    """Peak resident memory of the process in bytes since the reset; None where the platform does not tell.

    With what earlier steps of the same process left: models that are kept, and memory that was freed and kept.
    """
    if not was_reset:
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match.group(1)) * 1024 if match else None


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
