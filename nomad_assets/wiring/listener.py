"""What Dagster hears of a step while it works: log lines, and progress as observations now and then."""

import time

import dagster as dg

from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Shown
from nomad_assets.store.manifests import Artifact

OBSERVE_EVERY_SECONDS = 15.0


class DagsterListener(Listener):
    """Of one execution of one asset."""

    def __init__(self, context: dg.AssetExecutionContext):
        self.context = context
        self.reasons: list[Change] = []
        self.last = time.monotonic()
        self.begun: dict[str, tuple[float, float]] = {}  # stage -> time and work done when it was first heard of

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        self.reasons = reasons
        why = "; ".join(str(reason) for reason in reasons) or "made for the first time"
        self.context.log.info(f"{attempt.place}: {why}{'; goes on where it was interrupted' if resumes else ''}")

    def waiting(self, attempt: Attempt, text: str) -> None:
        self.context.log.info(text)

    def warned(self, attempt: Attempt, text: str) -> None:
        self.context.log.warning(text)

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        self.context.log.info(f"{attempt.place}: published {artifact.manifest.artifact_id}")

    def reused(self, attempt: Attempt, artifact: Artifact) -> None:
        self.context.log.info(f"{attempt.place}: nothing changed, reusing {artifact.manifest.artifact_id}")

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        now = time.monotonic()
        since, first = self.begun.setdefault(stage, (now, done))
        if now - self.last < OBSERVE_EVERY_SECONDS:
            return
        self.last = now
        if done > first and "seconds_left" not in facts:
            facts = {**facts, "seconds_left": (now - since) / (done - first) * (total - done)}
        partition = self.context.partition_key if self.context.has_partition_key else None
        metadata = {
            "stage": stage,
            "done": float(done),
            "total": float(total),
            **{k: float(v) for k, v in facts.items()},
        }
        observation = dg.AssetObservation(asset_key=self.context.asset_key, partition=partition, metadata=metadata)
        self.context.log_event(observation)
