"""Puts the shipped part of data/ into the wheel. Everything else about the build stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The licences of the facts, and where these come from, travel with the rows.
SHIPPED = ("data/README.md", "data/seed/*.jsonl", "data/benchmark/*.jsonl", "data/licenses/*.txt")


class BuildWithData(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # reads data/ where it lies
            return
        for pattern in SHIPPED:
            found = sorted(Path().glob(pattern))
            if not found:
                raise FileNotFoundError(f"{pattern}: nothing to put into the wheel")
            for source in found:
                target = Path(self.build_lib, "nomad_assets", source)
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))


setup(cmdclass={"build_py": BuildWithData})
