"""Small stores with a simulated history: real manifests and tables, no models."""

import pytest

from benchmarks.history import History
from nomad_assets.storage import Store


@pytest.fixture
def history(store: Store) -> History:
    """One generation: sizes 2 and 4, arms a and b, 12 rows a corpus, 6 seeds."""
    made = History(store, [2, 4], ["a", "b"], rows=12, seeds=6)
    made.generation()
    return made


ARTIFACTS = 4 + 2 * 3 + 4 * 6  # of one generation: unpartitioned, per size, per cell
