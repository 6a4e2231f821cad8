from pathlib import Path

import pytest
from filelock import FileLock

from nomad_assets.engine import runner
from nomad_assets.engine.listeners import Run
from nomad_assets_tests.conftest import Finished
from nomad_assets_tests.smoke_grid import opened
from nomad_assets_tests.steps.profile_files import ProfileFiles


@pytest.fixture
def files(tmp_path: Path) -> ProfileFiles:
    return ProfileFiles(tmp_path)


@pytest.fixture(scope="session")
def headroom(finished: Finished, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Finished:
    """The finished smoke run, in a copy in which headroom was asked for as well."""
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "headroom"
    with FileLock(home.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        profile = home / "own.toml"
        there = profile.is_file()
        if not there:
            finished.copy(home / "lake")
            profile.write_text(finished.profile.read_text(encoding="utf-8"), encoding="utf-8")
        patch.setenv("NOMAD_HOME", str(home / "lake"))
        grid, store = opened(profile)
        for step, cell in grid.asked_places():
            runner.run(step, cell, grid, store, [], Run("5a0ce5b2-0000-4000-8000-000000000000", "test"))
        return Finished(grid, store, profile, [])
