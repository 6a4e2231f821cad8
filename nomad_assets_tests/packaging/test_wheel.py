"""What a wheel carries, and that the profiles that ship find their data however the package was installed."""

import json
import shutil
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nomad_assets
from nomad_assets.profile.load import PROFILES, load_profile
from nomad_assets.recipe.data.sources import source_name
from nomad_assets_tests.packaging.environments import ROOT, build, environment, execute

LOOK = """
import importlib.metadata, json, os
import nomad_assets
from nomad_assets.profile.load import load_profile
sources = {}
for name in ("smoke", "quickstart"):
    profile = load_profile(name)
    named = [*profile.seeds.sources, *(benchmark.source for benchmark in profile.benchmarks.values())]
    sources[name] = {source.path: os.path.getsize(profile.resolve(source.path)) for source in named}
load_profile("paper-scale")
try:
    recorded = importlib.metadata.version("nomad-assets")
except importlib.metadata.PackageNotFoundError:
    recorded = None
print(json.dumps([nomad_assets.__file__, nomad_assets.__version__, recorded, sources]))
"""
SHIPPED_SIZES = {
    f"shipped://{side}/{kind}.jsonl": (ROOT / "data" / side / f"{kind}.jsonl").stat().st_size
    for side in ("seed", "benchmark")
    for kind in ("trivia", "word_problems")
}


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel without its metadata."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def wanted(sources: Path) -> dict[str, bytes]:
    """The package as it lies there, and of data/ what ships."""
    package = [path for path in (sources / "nomad_assets").rglob("*") if path.is_file()]
    shipped = [path for side in ("seed", "benchmark", "licenses") for path in (sources / "data" / side).iterdir()]
    files = {str(path.relative_to(sources)): path.read_bytes() for path in package}
    for path in [*shipped, sources / "data" / "README.md"]:
        files[f"nomad_assets/{path.relative_to(sources)}"] = path.read_bytes()
    return files


def test_a_wheel_carries_the_package_and_what_ships_and_nothing_else(sources: Path, wheel: Path) -> None:
    found = contents(wheel)
    assert found == wanted(sources)
    assert {
        "nomad_assets/profile/shipped/smoke.toml",
        "nomad_assets/profile/shipped/quickstart.toml",
        "nomad_assets/profile/shipped/paper-scale.toml",
        "nomad_assets/first_steps/project_files/dagster.yaml",
        "nomad_assets/first_steps/project_files/workspace.yaml",
        "nomad_assets/recipe/report/page.css",
        "nomad_assets/recipe/report/page.js",
        "nomad_assets/data/seed/trivia.jsonl",
        "nomad_assets/data/benchmark/word_problems.jsonl",
        "nomad_assets/data/seed/text_tasks.jsonl",
        "nomad_assets/data/licenses/unicode-v3.txt",
        "nomad_assets/data/README.md",
    } <= found.keys()
    assert not [name for name in found if "nomad_assets_tests" in name or "builder" in name or "lake" in name]
    with ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]


def test_a_wheel_of_the_source_distribution_is_the_same(sources: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", sources, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert contents(build("wheel", unpacked, tmp_path)) == contents(wheel)


def test_no_wheel_is_built_without_the_data(sources: Path, tmp_path: Path) -> None:
    shutil.copytree(sources, tmp_path / "clone", ignore=shutil.ignore_patterns("licenses", "build", "*.egg-info"))
    with pytest.raises(AssertionError, match=r"data/licenses/\*.txt: nothing to put into the wheel"):
        build("wheel", tmp_path / "clone", tmp_path)


def test_shipped_profiles_find_their_data_from_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    look(installed, tmp_path, comes_from=installed.parents[1])


def test_shipped_profiles_find_their_data_from_an_editable_installation(sources: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "--editable", str(sources))
    look(python, tmp_path, comes_from=sources)


def test_shipped_profiles_find_their_data_from_a_clone_that_is_not_installed(sources: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    look(python, tmp_path, comes_from=sources, PYTHONPATH=str(sources))


def look(python: Path, folder: Path, *, comes_from: Path, **extra: str) -> None:
    (folder / "empty").mkdir()
    file, version, recorded, found = json.loads(execute([str(python), "-c", LOOK], folder / "empty", **extra))
    assert Path(file).is_relative_to(comes_from)
    assert found == {"smoke": SHIPPED_SIZES, "quickstart": SHIPPED_SIZES}
    assert version == nomad_assets.__version__
    if "PYTHONPATH" not in extra:  # what is recorded there is of another installation, or nothing
        assert recorded == version


def test_a_copy_of_a_shipped_profile_finds_the_same_data_from_any_folder(tmp_path: Path) -> None:
    shutil.copy(PROFILES / "smoke.toml", tmp_path / "copy.toml")
    copy, shipped = load_profile(str(tmp_path / "copy.toml")), load_profile("smoke")
    for ours, theirs in zip(copy.seeds.sources, shipped.seeds.sources, strict=True):
        assert copy.resolve(ours.path) == shipped.resolve(theirs.path)
        assert Path(copy.resolve(ours.path)).is_file()
        # Rows and cards name their source by this.
        assert source_name(ours.path) == source_name(copy.resolve(ours.path))


def test_the_pinned_versions_lie_in_the_declared_ranges() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["dev"])]
    for need in needs:
        assert need.specifier.contains(pins[canonicalize_name(need.name)]), need
