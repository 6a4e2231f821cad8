"""Dagster projects in folders of their own, and `dg` run in them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from nomad_assets_tests.smoke_grid import ROOT

GROUP = "dagster_dg_cli.registry_modules"
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


def new_project(folder: Path) -> Path:
    """An empty Dagster project."""
    package = folder / "src" / "mine"
    (package / "defs").mkdir(parents=True)
    for module, text in {"__init__": "", "defs/__init__": "", "definitions": DEFINITIONS}.items():
        (package / f"{module}.py").write_text(text, encoding="utf-8")
    settings = (
        '[project]\nname = "mine"\n\n[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "mine"\n'
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    return folder


def dg(project: Path, home: Path, *words: str) -> subprocess.CompletedProcess:
    """`dg` with these words in a project, with the entry points that pyproject.toml declares here, installed or not."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    record = home / "installed" / "nomad_assets-0.dist-info"
    record.mkdir(parents=True, exist_ok=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: nomad-assets\nVersion: 0\n", encoding="utf-8")
    points = "\n".join(f"{name} = {value}" for name, value in declared.items())
    (record / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n", encoding="utf-8")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    scripts = Path(sys.executable).parent
    paths = [str(record.parent), str(project / "src"), str(ROOT)]
    environment = {
        **os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths),
        "DAGSTER_HOME": str(home), "NOMAD_HOME": str(home / "lake"), "COLUMNS": "200",
    }  # fmt: skip
    return subprocess.run(
        [str(scripts / "dg"), *words], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
