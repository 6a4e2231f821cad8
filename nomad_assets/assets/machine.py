"""What a manifest says of the machine and the process that made an artifact."""

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

LIBRARIES = (
    "accelerate",
    "dagster",
    "duckdb",
    "lm_eval",
    "pandera",
    "polars",
    "sentence-transformers",
    "torch",
    "transformers",
    "vllm",
)


def reset_peak_memory() -> bool:
    """Start counting the process's peak afresh, so that it is this step's (Linux); False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory(was_reset: bool) -> int | None:
    """Peak resident memory in bytes since the reset; None where the platform does not tell."""
    if not was_reset:
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match.group(1)) * 1024 if match else None


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, str]:
    facts = {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cpus": str(os.cpu_count()),
    }
    if "torch" in sys.modules:  # a step that did not need it should not load it for this
        import torch

        facts["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return facts
