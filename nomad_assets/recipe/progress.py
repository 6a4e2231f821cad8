"""How a long step tells how far it is; who listens is not the step's business."""

from typing import Protocol


class Progress(Protocol):
    """Called as `progress(stage, done, total, facts)`: work units done of total, and figures worth showing."""

    def __call__(self, stage: str, done: float, total: float, facts: dict[str, float]) -> None: ...


def silent(stage: str, done: float, total: float, facts: dict[str, float]) -> None:
    """A listener that says nothing."""
