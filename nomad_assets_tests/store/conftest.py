"""One store a backend; tests that are about the local one alone ask for `local`."""

from pathlib import Path

import pytest

from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.store.backends import BACKENDS, open_store


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(backend: str, tmp_path: Path) -> Store:
    """An empty store."""
    return open_store(backend, tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    """An empty local store."""
    return LocalStore(tmp_path / "store")
