"""What a store must do. One implementation a backend; `engine/` and everything above it see only this."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nomad_assets.cells import Cell
from nomad_assets.store.manifests import Artifact, Manifest


@dataclass(frozen=True)
class Stage:
    """A place that a step writes in before it publishes: `folder` on this machine, and `scratch` inside it.

    Scratch survives a crash, so that a step goes on where it was; it is never published.
    """

    folder: Path
    scratch: Path
    found: bool
    """Whether a step that died left it: the step goes on there."""


@dataclass(frozen=True)
class Leftover:
    """Something to remove: what it is, where, and its size in bytes."""

    place: str
    what: str
    size: int
    removed: bool = True
    """False: it is only pointed out, and stays."""


class Store(Protocol):
    """Artifacts of one profile: published whole or not at all, never changed, safe to read while others write."""

    @property
    def name(self) -> str:
        """Where it is, as people are told."""
        ...

    def exists(self) -> bool: ...

    def current(self, asset: str, cell: Cell) -> Artifact | None:
        """The newest version of a place. Raises NomadError when its manifest cannot be read."""
        ...

    def require(self, asset: str, cell: Cell) -> Artifact:
        """The newest version. Raises NotMadeError when there is none."""
        ...

    def versions(self, asset: str, cell: Cell) -> list[Artifact]:
        """All versions, oldest first."""
        ...

    def places(self) -> list[tuple[str, Cell]]:
        """Every asset and cell that has a version, also those outside the profile's grid; nothing that is no place."""
        ...

    def listing(self, pruned: bool = False) -> dict[str, int]:
        """Key -> stamp of every published or every pruned version; a changed stamp means a changed version."""
        ...

    def manifest(self, key: str, pruned: bool = False) -> Manifest:
        """The manifest of a key of `listing`. Raises FileNotFoundError when it has gone since."""
        ...

    def file(self, key: str, name: str, pruned: bool = False) -> Path | None:
        """A file of a key of `listing` on this machine, or None."""
        ...

    def reading(self, artifacts: Iterable[Artifact]) -> AbstractContextManager[None]:
        """Keep versions from being pruned while they are read. Raises NomadError when one is gone already."""
        ...

    def staging(
        self, asset: str, cell: Cell, fingerprint: str, waits: Callable[[str], None] = ...
    ) -> AbstractContextManager[Stage]:
        """A stage for one fingerprint, exclusively held; after an error it stays for the next try.

        `waits` is told for whom, when another process works on the same place.
        """
        ...

    def publish(self, stage: Stage, asset: str, cell: Cell, heeded: list[dict] | None = None, **record) -> Artifact:
        """Make what is staged the newest version. `record` holds the manifest's other fields.

        Raises NomadError when there are other withdrawals than `heeded` by now, or the stage has gone.
        """
        ...

    def discard(self, stage: Stage) -> None:
        """Remove a stage that was not needed."""
        ...

    def withdrawals(self) -> list[dict]:
        """Withdrawals of seed rows, oldest first: `time`, `reason`, `rows` (seed id -> source and content key), and
        `artifacts` (ids they reached)."""
        ...

    def withdrawing(self) -> AbstractContextManager[None]:
        """Nothing is published while this is held, so that a withdrawal lists all that there is."""
        ...

    def withdraw(self, withdrawal: dict) -> None: ...

    def agreed(self, question: str, answer: Callable[[], str]) -> str:
        """An answer that all processes that work on this store share: the first one's."""
        ...

    def explain(self, error: Exception, stage: Stage | None) -> str | None:
        """What the disk or somebody else did to the store, as a sentence; None when the error is another one."""
        ...

    def handed(self, name: str) -> Path:
        """A file on this machine that something outside the store hands over, such as a seed table."""
        ...

    @property
    def database(self) -> Path:
        """The file on this machine that lineage is asked from."""
        ...

    def database_lock(self) -> AbstractContextManager[None]:
        """Held while the database is built anew."""
        ...

    def can_write(self) -> bool: ...

    def remove_superseded(self, keep: int, record: Callable[[Artifact, Path], None], dry_run: bool) -> list[Leftover]:
        """Remove all but the newest `keep` versions of each place; `record` writes what lineage needs of one to a folder."""
        ...

    def remove_places(
        self,
        places: list[tuple[str, Cell]],
        what: str,
        record: Callable[[Artifact, Path], None],
        dry_run: bool,
    ) -> list[Leftover]:
        """Remove every version of these places, as `remove_superseded` does; `what` says what they are."""
        ...

    def remove_stages(self, resumable: set[tuple[str, Cell, str]], dry_run: bool) -> list[Leftover]:
        """Remove stages that nobody holds, except those of the given (asset, cell, fingerprint)."""
        ...
