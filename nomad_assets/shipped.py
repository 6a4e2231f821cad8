"""Seeds and benchmarks that ship: what a profile writes as `shipped://seed/trivia.jsonl`."""

from importlib.resources import files
from pathlib import Path

SHIPPED = "shipped://"


def shipped_data() -> Path:
    """The folder with `seed/`, `benchmark/` and the `licenses/` of their facts.

    A wheel carries it inside the package (setup.py); in a clone and in an editable install it lies beside the package.
    """
    package = Path(str(files("nomad_assets")))
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def shipped_path(source: str) -> Path:
    """The file behind a source that starts with `shipped://`, whether or not there is one."""
    return shipped_data() / source.removeprefix(SHIPPED)
