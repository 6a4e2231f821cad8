"""Memory that is freed stays with the process: the next step of the same shape finds it mapped.

By default the C library gives large freed blocks back to the system at once, and the system hands out zeroed pages for the
next ones. For tensors of several MB, allocated and freed hundreds of times a second, that was a tenth of a training step.
"""

import ctypes
import sys

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
