"""What a run tells its user of each step: why it is made, how far it is, and what is left of the grid."""

import time

from nomad_assets.cells import Cell
from nomad_assets.cli.display import Display
from nomad_assets.cli.terminal import duration
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Shown
from nomad_assets.store.manifests import Artifact
from nomad_assets.wiring.orders import Expected

FIRST_SHARE = 0.05  # from here on what a step has done says how long it will take
FORCED = "forced"
UNITS = {"tokens_per_second": "tokens/s"}


class Journal(Listener):
    """Listens to every step of a run, and knows which are still to come."""

    def __init__(self, display: Display):
        self.display = display
        self.ahead: dict[tuple[str, Cell], float | None] = {}
        """Steps that are still to be made, the one at work among them -> seconds that they take, where that is known."""
        self.reasons: dict[tuple[str, Cell], list[str]] = {}
        """Why each of them is expected: it tells forced from damaged, which a step cannot."""
        self.total = 0
        self.took: dict[str, float] = {}
        """Asset -> seconds that it took last in this run."""
        self.at: tuple[str, Cell] | None = None
        self.begun = 0.0
        self.stages: dict[str, float] = {}
        """Stage of the step at work -> the total that it named first; 0 where all of it was done then."""
        self.share: float | None = None

    def expect(self, steps: list[Expected]) -> None:
        """What is still to be made; the first time, of the whole run."""
        self.total = self.total or len(steps)
        self.ahead = {(step.step.name, step.cell): step.seconds for step in steps}
        self.reasons |= {(step.step.name, step.cell): step.reasons for step in steps}
        self._show_grid()

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        known = [str(reason) for reason in reasons if str(reason) != FORCED]
        known = known or self.reasons.get((attempt.step.name, attempt.cell)) or [str(reason) for reason in reasons]
        why = "; ".join(known) or "made for the first time"
        self.display.say(f"{attempt.place}: {why}{'; goes on where it was interrupted' if resumes else ''}")
        self.at, self.begun = (attempt.step.name, attempt.cell), time.monotonic()
        self.stages, self.share = {}, None
        self.display.begin(attempt.place)
        self._show_grid()

    def waiting(self, attempt: Attempt, text: str) -> None:
        self.display.say(text)

    def warned(self, attempt: Attempt, text: str) -> None:
        self.display.say(f"warning: {attempt.place}: {text}")

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        # A total that grows with what is done, as of questions that a task brings along, is none.
        known = self.stages.setdefault(stage, total if done < total else 0.0) == total > 0
        self.share = done / total if known else None
        words = [stage] if known else [f"{stage}: {done:.0f} done"]
        words += [f"{value:.4g} {UNITS.get(name, name)}" for name, value in facts.items() if name != "seconds_left"]
        if (left := facts.get("seconds_left", self._left_of_step())) is not None:
            words.append(f"{duration(left)} left")
        self._show_grid()
        self.display.update(self.share, ", ".join(words))

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        self.took[attempt.step.name] = artifact.manifest.seconds
        self._finished(attempt)

    def reused(self, attempt: Attempt, artifact: Artifact) -> None:
        self._finished(attempt)

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        self._finished(attempt)

    def _finished(self, attempt: Attempt) -> None:
        self.ahead.pop((attempt.step.name, attempt.cell), None)
        self.at, self.share = None, None
        self.display.end()
        self._show_grid()

    def _left_of_step(self) -> float | None:
        elapsed = time.monotonic() - self.begun
        if self.share is not None and self.share >= FIRST_SHARE:
            return elapsed / self.share * (1 - self.share)
        return None

    def _show_grid(self) -> None:
        if self.total:
            done = self.total - len(self.ahead)
            self.display.whole(
                done + (self.share or 0.0 if self.at in self.ahead else 0.0), self.total, self._grid_words(done)
            )

    def _grid_words(self, done: int) -> str:
        seconds, unknown = 0.0, 0
        for place, before in self.ahead.items():
            left = self.took.get(place[0]) if before is None else before
            if place == self.at:
                by_share = self._left_of_step()
                elapsed = time.monotonic() - self.begun
                left = by_share if by_share is not None else None if left is None else max(0.0, left - elapsed)
            if left is None:
                unknown += 1
            else:
                seconds += left
        words = f"{done} of {self.total} steps"
        if unknown == len(self.ahead) > 0:
            return f"{words}, time left not known yet"
        rest = f" and {unknown} step{'s' if unknown > 1 else ''} of unknown length" if unknown else ""
        return f"{words}, about {duration(seconds)}{rest} left"
