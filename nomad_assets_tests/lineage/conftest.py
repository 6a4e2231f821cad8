"""Small stores with a simulated history: real manifests and tables, no models."""

import pytest

from benchmarks.history import History
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.contents import simulated


@pytest.fixture
def history(store: Store) -> History:
    """One generation: sizes 2 and 4, arms a and b, 12 rows a corpus, 6 seeds."""
    return simulated(store, generations=1)
