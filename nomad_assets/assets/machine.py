"""What a manifest says of the machine and the process that made an artifact."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from nomad_assets.storage import Store, digest

MEASURED = ".measured"
# Rows of the matrix products that decide about a precision: of a training step, and of decoding a batch.
TRAINED_ROWS, DECODED_ROWS = 512, 64
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


def work_precision(store: Store, setting: str, rows: int) -> str:
    """`bf16` or `fp32` for products of that many rows; `auto` is what this machine measured the first time.

    It is measured in time, so that a busy moment could turn it; and all processes that work on a store, one after the
    other or together, must compute alike. So the answer is noted in the store, for each kind of machine.
    """
    if setting != "auto":
        return setting
    import torch

    from nomad_assets.recipe.models.device import computes_in_bf16

    kind = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"{platform.processor()} {_cpu()}"
    note = store.root / MEASURED / f"{digest([kind, os.cpu_count(), torch.__version__, rows])[:16]}.txt"
    if not note.is_file():
        note.parent.mkdir(parents=True, exist_ok=True)
        own = note.with_suffix(f".{os.getpid()}")
        own.write_text("bf16" if computes_in_bf16(rows) else "fp32", encoding="utf-8")
        own.rename(note)
    return note.read_text(encoding="utf-8")


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
