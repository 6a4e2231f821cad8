"""A profile, its grid and its store, as whoever works on them outside Dagster opens them."""

import os
import re
from pathlib import Path

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Seeds, Source
from nomad_assets.store.home import store_of
from nomad_assets.store.protocol import Store

POOL = "seed_examples"


def open_grid(profile: Profile | str | None = None, store: Store | None = None) -> tuple[Grid, Store]:
    """The grid and the store of a profile. Raises NomadError when it cannot be loaded."""
    loaded = profile if isinstance(profile, Profile) else load_profile(profile)
    found = store or store_of(loaded.name)
    return Grid(as_last_handed(loaded, found)), found


def with_handed_seeds(profile: Profile, store: Store, seeds_from: str) -> Profile:
    """The profile with the table of the asset `seeds_from` as its only seed source."""
    return _reading(profile, handed_table(store, seeds_from))


def as_last_handed(profile: Profile, store: Store) -> Profile:
    """The profile as Dagster ran it last: reading the handed-over table where the newest seed pool was made of one.

    For whoever has no Dagster definitions to ask: the command line and `nomad_assets.load`.
    """
    try:
        pool = store.current(POOL, Cell())
    except NomadError:  # its manifest cannot be read, which whoever goes on is told
        return profile
    sources = pool.manifest.settings.get("seeds", []) if pool else []
    if len(sources) != 1:
        return profile
    path = Path(sources[0]["path"])
    file = store.handed(path.name)
    return _reading(profile, file) if file.is_file() and path.parent.name == file.parent.name else profile


def _reading(profile: Profile, file: Path) -> Profile:
    # Relative, so that a project that is moved with its store keeps its fingerprints.
    licenses = {source.license for source in profile.seeds.sources}
    source = Source(path=os.path.relpath(file, profile.folder), license=licenses.pop() if len(licenses) == 1 else None)
    return profile.model_copy(update={"seeds": Seeds(sources=[source])})


def handed_table(store: Store, seeds_from: str) -> Path:
    """The file that the table of an asset is handed over in."""
    return store.handed(f"{re.sub(r'[^A-Za-z0-9._-]', '.', seeds_from)}.jsonl")
