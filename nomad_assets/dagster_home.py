"""Where Dagster keeps its runs and events, and the settings it starts with."""

import os
import shutil
from importlib.resources import files
from pathlib import Path

SETTINGS = "dagster.yaml"


def dagster_home() -> Path:
    """`DAGSTER_HOME`; else this folder if it has a dagster.yaml, as a project's folder has; else its `data/dagster`."""
    if named := os.environ.get("DAGSTER_HOME"):
        return Path(named)
    here = Path.cwd()
    return here if (here / SETTINGS).is_file() else here / "data" / "dagster"


def write_settings(home: Path) -> None:
    """Put a project folder's dagster.yaml into a home that has none; its relative paths start in the current folder."""
    if not (home / SETTINGS).is_file():
        shutil.copy(Path(str(files("nomad_assets"))) / "first_steps" / "project_files" / SETTINGS, home / SETTINGS)
