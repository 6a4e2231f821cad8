"""Who listens to the steps of a profile: lineage always, OpenLineage and MLflow where the profile names them."""

from nomad_assets.engine.graph import Graph
from nomad_assets.engine.listeners import Listener
from nomad_assets.profile.sections import Profile
from nomad_assets.store.protocol import Store


def listeners_of(profile: Profile, graph: Graph, store: Store) -> list[Listener]:
    return []
