"""What a step would be made from now, and whether what there is will do."""

from dataclasses import dataclass

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import Fingerprint, fingerprint
from nomad_assets.engine.grid import Grid
from nomad_assets.engine.inputs import Parents
from nomad_assets.engine.step import Config, Step
from nomad_assets.errors import NomadError
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store


@dataclass(frozen=True)
class Plan:
    """What a step would be made from now."""

    config: Config
    parents: Parents
    wanted: Fingerprint
    withdrawals: list[dict]


def withdrawn_rows(withdrawals: list[dict]) -> dict[str, dict]:
    """All seed rows that were withdrawn: id -> source and content key."""
    return {row: facts for withdrawal in withdrawals for row, facts in withdrawal["rows"].items()}


def is_withdrawn(artifact: Artifact, withdrawals: list[dict]) -> bool:
    """Whether a withdrawn seed row reached this artifact."""
    return any(artifact.manifest.artifact_id in withdrawal["artifacts"] for withdrawal in withdrawals)


def serves(artifact: Artifact | None, wanted: Fingerprint, withdrawals: list[dict]) -> bool:
    """Whether an artifact is what a run would make now."""
    return (
        artifact is not None
        and artifact.manifest.fingerprint == wanted.digest
        and not is_withdrawn(artifact, withdrawals)
    )


def plan(step: Step, cell: Cell, grid: Grid, store: Store) -> Plan:
    """Raises NomadError when a parent is missing, or was made with a withdrawn seed row: nothing more is made of it."""
    withdrawals = store.withdrawals()
    config = step.config.of(grid, cell, withdrawn_rows(withdrawals))
    parents: Parents = {}
    for name, place in grid.places(step, cell):
        optional = step.inputs[name].optional
        artifact = store.current(name, place) if optional else store.require(name, place)
        if artifact is None:
            continue
        if is_withdrawn(artifact, withdrawals):
            if optional:
                continue
            raise NomadError(
                f"its parent {artifact.manifest.artifact_id} was made with a withdrawn seed row; make that one again first"
            )
        parents[name, place] = artifact
    return Plan(config, parents, fingerprint(step, grid.graph, config, parents), withdrawals)


def is_current(step: Step, cell: Cell, grid: Grid, store: Store) -> bool:
    """Whether the newest artifact of a place is what a run would make now; never where a parent is missing or withdrawn."""
    try:
        now = plan(step, cell, grid, store)
        return serves(store.current(step.name, cell), now.wanted, now.withdrawals)
    except NomadError:
        return False
