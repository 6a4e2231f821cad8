"""Running one step in one cell: reuse, stage, body, publish."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import Change, drift
from nomad_assets.engine.grid import Grid
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.listeners import Attempt, Audience, Listener, Run
from nomad_assets.engine.machine import host, libraries
from nomad_assets.engine.output import Output, Shown
from nomad_assets.engine.plan import Plan, is_withdrawn, plan, serves
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.recipe.memory import peak_memory, reset_peak_memory
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Stage, Store


@dataclass(frozen=True)
class Made:
    artifact: Artifact
    shown: dict[str, Shown] = field(default_factory=dict)


@dataclass(frozen=True)
class Reused:
    artifact: Artifact


def run(
    step: Step, cell: Cell, grid: Grid, store: Store, listeners: Sequence[Listener], within: Run, force: bool = False
) -> Made | Reused:
    """Make the artifact of a step in a cell, or find that what there is is what would be made.

    `force` makes it again. Raises NomadError, its message beginning with the place, on everything that a user can mend.
    """
    place = f"{step.name} [{cell.label}]"
    audience, stage = Audience(listeners), None
    try:
        while True:
            now = plan(step, cell, grid, store)
            attempt = Attempt(step, cell, within, now.wanted.parents)
            waits = lambda text, attempt=attempt: audience.tell("waiting", attempt, text)  # noqa: E731
            with (
                store.reading(now.parents.values()),
                store.staging(step.name, cell, now.wanted.digest, waits) as stage,
            ):
                again = plan(step, cell, grid, store)
                if (again.wanted, again.withdrawals) != (now.wanted, now.withdrawals):
                    continue  # while this step waited for its place, what it reads changed
                current = _newest(step, cell, store, force)
                if not force and serves(current, now.wanted, now.withdrawals):
                    store.discard(stage)
                    audience.tell("reused", attempt, current)
                    return Reused(current)
                return _make(step, attempt, now, stage, current, grid, store, audience)
    except NomadError as error:
        error.locate(place)
        raise
    except Exception as error:
        problem = store.explain(error, stage)
        if problem is None:
            raise
        raise NomadError(f"{place}: {problem}") from error


def _newest(step: Step, cell: Cell, store: Store, force: bool) -> Artifact | None:
    """What there is. With `force` what cannot be read counts as nothing, so that it can be made again."""
    try:
        return store.current(step.name, cell)
    except NomadError:
        if force:
            return None
        raise


def _make(
    step: Step,
    attempt: Attempt,
    now: Plan,
    stage: Stage,
    current: Artifact | None,
    grid: Grid,
    store: Store,
    audience: Audience,
) -> Made:
    reasons = _reasons(current, now)
    out = Output(
        step, attempt.place, stage, agreed=store.agreed,
        progress=lambda *facts: audience.tell("progressed", attempt, *facts),
        warn=lambda text: audience.tell("warned", attempt, text),
    )  # fmt: skip
    peak_reset = reset_peak_memory()
    started, clock = time.time(), time.monotonic()
    with audience.watching(attempt, reasons, stage.found) as made:
        step.body(now.config, Inputs(step, grid.graph, now.config, now.parents, grid.places(step, attempt.cell)), out)
        artifact = store.publish(
            stage, step.name, attempt.cell, now.withdrawals,
            fingerprint=now.wanted.digest, settings=now.wanted.settings, reads=now.wanted.reads, parents=now.wanted.parents,
            code_version=step.version, run_id=attempt.run.id,
            started=started, ended=max(time.time(), started),  # a clock that was set back must not give a negative time
            seconds=round(time.monotonic() - clock, 3), rows=out.rows, tokens=out.tokens, seed=now.config.seed,
            peak_memory_bytes=peak_memory(peak_reset), metrics=out.metrics, libraries=libraries(), host=host(),
        )  # fmt: skip
        made(artifact, out.shown)
    return Made(artifact, out.shown)


def _reasons(current: Artifact | None, now: Plan) -> list[Change]:
    if current is None:
        return []
    if is_withdrawn(current, now.withdrawals):
        return [Change("made with a withdrawn seed row")]
    return drift(current.manifest, now.wanted) or [Change("forced")]
