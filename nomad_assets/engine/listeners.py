"""Who is told what a step does. A listener can fail without touching a step: it costs a warning."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.output import Shown
from nomad_assets.engine.step import Step
from nomad_assets.store.manifests import Artifact


@dataclass(frozen=True)
class Run:
    """What a step runs in: a Dagster run, or a run of the Python API."""

    id: str
    """A UUID."""
    job: str
    retry: int = 0
    """Tries before this one in the same run."""


@dataclass(frozen=True)
class Attempt:
    """One try of one step."""

    step: Step
    cell: Cell
    run: Run
    parents: dict[str, str] = field(default_factory=dict)
    """Asset and partition of each parent -> its artifact id, as in a manifest."""

    @property
    def place(self) -> str:
        return f"{self.step.name} [{self.cell.label}]"


class Listener:
    """Told in this order: started, any number of progressed and warned, then made or failed; or reused alone."""

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        """A step begins to work: `reasons` why what there is will not do, none where there is nothing yet."""

    def waiting(self, attempt: Attempt, text: str) -> None: ...

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None: ...

    def warned(self, attempt: Attempt, text: str) -> None: ...

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None: ...

    def reused(self, attempt: Attempt, artifact: Artifact) -> None: ...

    def failed(self, attempt: Attempt, error: BaseException) -> None: ...


class Audience:
    """Tells all listeners; what one of them raises is a warning to the others."""

    def __init__(self, listeners: Sequence[Listener]):
        self.listeners = listeners

    def tell(self, what: str, attempt: Attempt, *facts: object) -> None:
        for listener in self.listeners:
            try:
                getattr(listener, what)(attempt, *facts)
            except Exception as error:
                self._complain(listener, attempt, error)

    def _complain(self, broken: Listener, attempt: Attempt, error: Exception) -> None:
        text = f"{type(broken).__name__} failed: {type(error).__name__}: {error}"
        for listener in self.listeners:
            if listener is not broken:
                with contextlib.suppress(Exception):
                    listener.warned(attempt, text)

    @contextlib.contextmanager
    def watching(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> Iterator[Callable[..., None]]:
        """Tells of the start, and of the failure when the block fails; gives what to call at the end."""
        self.tell("started", attempt, reasons, resumes)
        try:
            yield lambda artifact, shown: self.tell("made", attempt, artifact, shown)
        except BaseException as error:
            self.tell("failed", attempt, error)
            raise
