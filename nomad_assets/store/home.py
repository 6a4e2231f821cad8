"""Which store a profile's artifacts lie in."""

import os
from pathlib import Path

from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store


def store_of(name: str) -> Store:
    """The store of the profile of that name: a folder of its name under `NOMAD_HOME` (default `data/lake`).

    One a profile, so that two profiles with the same cells do not supersede each other's artifacts.
    """
    return LocalStore(Path(os.environ.get("NOMAD_HOME") or "data/lake").resolve() / name)
