"""Plug-ins that tests write into files, and the toy package that they install."""

import subprocess
import sys
from pathlib import Path

TOY = Path(__file__).parent / "toy_plugins"


def write_plugin(folder: Path, source: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(source, encoding="utf-8")
    return path


def install_toy(work: Path) -> Path:
    """The folder into which pip installed the toy package; put it on sys.path."""
    copy, target = work / "source", work / "installed"
    copy.mkdir(parents=True)
    for file in ("pyproject.toml", "nomad_toy_plugins.py"):
        (copy / file).write_bytes((TOY / file).read_bytes())  # building leaves files beside the source
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(target), str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target
