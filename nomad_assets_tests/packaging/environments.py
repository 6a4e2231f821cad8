"""Wheels built from a copy of the sources, and virtual environments in which `nomad_assets` can come from one place only."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
OURS = ("PYTHONPATH", "NOMAD_HOME", "NOMAD_PROFILE", "DAGSTER_HOME")


def copy_sources(target: Path) -> Path:
    """A clone as people have it: with tests, the data's builder, and what runs have left in data/."""
    target.mkdir()
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, target / name)
    for name in ("nomad_assets", "nomad_assets_tests"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "data" / "lake").mkdir(parents=True)
    (target / "data" / "lake" / "corpus.jsonl").write_text("{}\n", encoding="utf-8")
    for name in ("seed", "benchmark", "licenses", "builder"):
        shutil.copytree(ROOT / "data" / name, target / "data" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "data" / "README.md", target / "data" / "README.md")
    return target


def build(kind: str, sources: Path, out: Path) -> Path:
    """The `wheel` or `sdist` of a folder of sources, built as pip does it, with the setuptools of this environment."""
    call = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(out)!r}))"
    printed = execute([sys.executable, "-c", call], sources)
    return out / printed.splitlines()[-1]


def environment(folder: Path, *install: str) -> Path:
    """The Python of a new environment that has the packages of this one, save ours, and what pip is told to install.

    The packages are lent by a path file. Path files and import hooks that lie among them are not read, so the editable
    installation that these tests may run from is not there.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = (folder / "lib").glob("python*/site-packages")
    lent = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "lent.pth").write_text("\n".join(lent), encoding="utf-8")
    if install:
        options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
        execute([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *install], folder)
    return python


def execute(command: list[str], folder: Path, **extra: str) -> str:
    """What the command prints, in a folder and without the caller's settings. Fails the test when the command does."""
    ours = {name: text for name, text in os.environ.items() if name not in OURS}
    done = subprocess.run(command, cwd=folder, env={**ours, **extra}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
