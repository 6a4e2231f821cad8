"""What a manifest says of the machine and the process that made an artifact."""

import functools
import importlib.metadata
import os
import platform
import sys

LIBRARIES = (
    "accelerate", "dagster", "duckdb", "lm_eval", "pandera", "polars", "sentence-transformers", "torch", "transformers", "vllm",
)  # fmt: skip


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that results depend on, where they are installed."""
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
