"""Small stores with a simulated history: real manifests and tables, no models."""

from pathlib import Path

import pytest

from benchmarks.history import History
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.contents import simulated


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def history(store: Store) -> History:
    """One generation: sizes 2 and 4, arms a and b, 12 rows a corpus, 6 seeds."""
    return simulated(store, generations=1)
