"""Who listens to the steps of a profile: lineage always, OpenLineage and MLflow where the profile names them."""

from nomad_assets.engine.graph import Graph
from nomad_assets.engine.listeners import Listener
from nomad_assets.integrations.openlineage import emitter
from nomad_assets.integrations.tracking import tracker
from nomad_assets.lineage.listener import LineageListener
from nomad_assets.profile.profile import Profile
from nomad_assets.store.protocol import Store


def listeners_of(profile: Profile, graph: Graph, store: Store) -> list[Listener]:
    """Raises NomadError when a setting cannot be meant."""
    found = [LineageListener(store), emitter(profile, graph), tracker(profile)]
    return [listener for listener in found if listener is not None]
