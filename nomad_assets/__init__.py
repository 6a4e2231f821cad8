"""NOMAD as a Dagster asset graph: teachers that write training data, their corpora, students, scores and a report.

    import nomad_assets as na
    grid = na.load("quickstart")

What is named here is imported when it is first used: importing the package costs neither Dagster, torch nor polars.
"""

import importlib
from typing import TYPE_CHECKING

from nomad_assets.recipe.threads import bound_spinning

if TYPE_CHECKING:
    from nomad_assets.api import OpenGrid, Report, load
    from nomad_assets.component import NomadGrid
    from nomad_assets.definitions import build_definitions
    from nomad_assets.errors import NomadError
    from nomad_assets.frames import curate, loss, row_losses, synthesize

__version__ = "0.1.0"

bound_spinning()  # before anything here imports torch, which reads it

_HOMES = {
    "load": "api", "OpenGrid": "api", "Report": "api",
    "loss": "frames", "row_losses": "frames", "synthesize": "frames", "curate": "frames",
    "build_definitions": "definitions", "NomadGrid": "component", "NomadError": "errors",
}  # fmt: skip
__all__ = [
    "NomadError",
    "NomadGrid",
    "OpenGrid",
    "Report",
    "build_definitions",
    "curate",
    "load",
    "loss",
    "row_losses",
    "synthesize",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    # Dagster's `dg` looks here for components.
    return sorted({*globals(), *__all__})
