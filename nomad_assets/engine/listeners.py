"""Who is told what a step does. A listener can fail without touching a step: it costs a warning."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.output import Shown
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, cut
from nomad_assets.store.manifests import Artifact

LONGEST_PROBLEM = 300  # characters of an error's text


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

    deadline: float | None = None
    """Seconds after which it is given up for the rest of the step, whatever it waits for: it is told in threads of its own.
    None: told in the step's thread; it waits for nothing."""

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        """A step begins to work: `reasons` why what there is will not do, none where there is nothing yet."""

    def waiting(self, attempt: Attempt, text: str) -> None: ...

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None: ...

    def warned(self, attempt: Attempt, text: str) -> None: ...

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None: ...

    def reused(self, attempt: Attempt, artifact: Artifact) -> None: ...

    def failed(self, attempt: Attempt, error: BaseException) -> None: ...

    def problem(self) -> str | None:
        """Why it cannot work here at all. Who starts a run asks before anything is made."""
        return None

    def complaint(self, problem: str) -> str:
        """What the others are told when this one raised or was given up."""
        return f"{type(self).__name__} failed: {problem}"


def refuse_broken(listeners: Sequence[Listener]) -> None:
    """Raises NomadError where one of them cannot work here at all: better known now than after hours of training."""
    for listener in listeners:
        if problem := listener.problem():
            raise NomadError(problem)


class Audience:
    """Tells all listeners of one run of a step. One that raises or hangs costs the others one warning, the step nothing."""

    def __init__(self, listeners: Sequence[Listener]):
        self.listeners = listeners
        self._given_up: list[Listener] = []
        self._complained: list[Listener] = []

    def tell(self, what: str, attempt: Attempt, *facts: object) -> None:
        for listener in self.listeners:
            try:
                self._tell(listener, what, attempt, *facts)
            except Exception as error:
                self._complain(listener, attempt, error)

    def _tell(self, listener: Listener, what: str, attempt: Attempt, *facts: object) -> None:
        if listener in self._given_up or getattr(type(listener), what) is getattr(Listener, what):
            return
        if listener.deadline is None:
            getattr(listener, what)(attempt, *facts)
            return
        failures: list[Exception] = []

        def in_thread() -> None:
            try:
                getattr(listener, what)(attempt, *facts)
            except Exception as error:
                failures.append(error)

        # Name servers, slow endpoints and network disks can all hang for longer than any timeout of a client.
        worker = threading.Thread(target=in_thread, name=type(listener).__name__, daemon=True)
        worker.start()
        worker.join(listener.deadline)
        if worker.is_alive():
            self._given_up.append(listener)
            raise TimeoutError(f"no answer within {listener.deadline:g} s")
        if failures:
            raise failures[0]

    def _complain(self, broken: Listener, attempt: Attempt, error: Exception) -> None:
        if broken in self._complained:
            return
        self._complained.append(broken)
        for listener in self.listeners:
            if listener is not broken:
                with contextlib.suppress(Exception):
                    self._tell(listener, "warned", attempt, broken.complaint(_one_line(error)))

    @contextlib.contextmanager
    def watching(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> Iterator[Callable[..., None]]:
        """Tells of the start, and of the failure when the block fails; gives what to call at the end."""
        published = False

        def made(artifact: Artifact, shown: dict[str, Shown]) -> None:
            nonlocal published
            published = True  # first: what stops the telling does not take it back
            self.tell("made", attempt, artifact, shown)

        self.tell("started", attempt, reasons, resumes)
        try:
            yield made
        except BaseException as error:
            if not published:
                self.tell("failed", attempt, error)
            raise


def _one_line(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {cut(first, LONGEST_PROBLEM)}"
