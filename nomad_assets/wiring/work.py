"""What the Dagster objects of one grid work with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from nomad_assets.engine.listeners import Listener
from nomad_assets.grid import Grid
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.names import Names
from nomad_assets.wiring.partitions import Partitions


@dataclass(frozen=True)
class Work:
    """One grid, its store, its names, and who listens beside Dagster."""

    grid: Grid
    store: Store
    names: Names
    listeners: Sequence[Listener] = ()
    executor: dg.ExecutorDefinition = dg.in_process_executor
    """Of the grid's own jobs."""
    seeds_from: str | None = None
    """Key of a user's asset that yields the seed table."""
    partitions: Partitions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions", Partitions(self.grid))

    @property
    def tags(self) -> dict[str, str]:
        return {"nomad/profile": self.grid.profile.name}
