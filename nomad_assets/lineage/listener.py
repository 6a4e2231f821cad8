"""The lineage database kept up to date while steps run."""

from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Shown
from nomad_assets.lineage.sync import sync_if_free
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store


class LineageListener(Listener):
    """Reads each new artifact into the database, unless another process has it open: the next reader does so then."""

    def __init__(self, store: Store):
        self.store = store

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        sync_if_free(self.store)
