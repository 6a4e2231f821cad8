"""Experiment tracking: each artifact as an MLflow run, where the profile's `mlflow` says so.

    experiment  nomad-assets/<profile>
    run         <asset> <cell>; its tags hold the artifact's id, its cell and the Dagster run
    params      the settings that the artifact depends on, by dotted key
    metrics     its figures, what it cost, and the loss of each training step
    artifacts   manifest.json, and what people look at: scores, comparisons, the report

A run is written once its artifact is published, so what MLflow shows is there. A server that is down, slow or silent costs a
step one warning and at most `DEADLINE` seconds. Tokens and passwords are read from MLflow's own variables (MLFLOW_TRACKING_TOKEN, ...),
never from the profile.
"""

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nomad_assets.engine.fingerprint import Change, flat
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Shown
from nomad_assets.engine.step import File, Step
from nomad_assets.engine.tables import Table
from nomad_assets.errors import NomadError
from nomad_assets.profile.profile import Profile
from nomad_assets.steps.curation import ProfileMetrics
from nomad_assets.steps.models import TrainingCurve
from nomad_assets.steps.report import HTML, MARKDOWN, Comparisons
from nomad_assets.steps.scores import Scores
from nomad_assets.store.manifests import Artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

UPLOADED: tuple[type[Table] | File, ...] = (Scores, Comparisons, ProfileMetrics, TrainingCurve, HTML, MARKDOWN)
"""What people look at, and small: corpora and models stay in the store."""
DEADLINE = 30.0
"""Seconds after which an artifact is given up, whatever the server is waiting for."""
CLIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
    # Else a server may ask a step to wait for an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}  # fmt: skip
NOT_IN_NAMES = re.compile(r"[^\w./ -]")
LONGEST_VALUE = 500  # characters; what older servers take for a parameter


def tracker(profile: Profile) -> "Tracker | None":
    """Where the profile's artifacts are tracked; None when it wants none. Raises NomadError when the setting cannot be meant.

    MLflow's client need not be installed for it: who starts a run asks for its `problem`.
    """
    setting, key = profile.mlflow, f"profile {profile.name}: mlflow"
    if setting is None:
        return None
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", setting)
    if scheme is None:
        return Tracker(profile.name, Path(profile.resolve(setting)))
    if scheme[1].lower() not in ("http", "https"):
        raise NomadError(f"{key}: unsupported scheme {scheme[1]!r}; give an http(s):// address or the path of a file")
    if "@" in urlsplit(setting).netloc:
        raise NomadError(f"{key}: user:password@ in the address; set MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
    return Tracker(profile.name, setting)


class Tracker(Listener):
    """Writes artifacts of one profile to one MLflow server or database."""

    deadline = DEADLINE

    def __init__(self, profile: str, place: Path | str):
        """`place`: the file of a SQLite database, which keeps its artifacts in a folder beside it, or an address."""
        self.profile, self.experiment = profile, f"nomad-assets/{profile}"
        self.database = place if isinstance(place, Path) else None
        self.address = f"sqlite:///{place}" if self.database else str(place)
        self.artifacts = (place.parent / f"{place.name}-artifacts").as_uri() if self.database else None
        self._client: MlflowClient | None = None

    def problem(self) -> str | None:
        if importlib.util.find_spec("mlflow") is not None:
            return None
        place = str(self.database or self.address)
        return (
            f"profile {self.profile}: mlflow = {place!r}: MLflow's client is not installed; pip install mlflow-skinny"
        )

    def complaint(self, problem: str) -> str:
        return f"MLflow at {self.address}: what was made is not tracked: {problem}"

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        if problem := self.problem():  # better known now than after hours of training
            raise NomadError(problem)

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        client, record = self._connect(), artifact.manifest
        experiment = self._experiment_id(client)
        tags = {
            "artifact_id": record.artifact_id, "asset": record.asset, "cell": record.partition,
            "dagster_run_id": record.run_id, "content_digest": record.content_digest,
        }  # fmt: skip
        run = client.create_run(
            experiment, start_time=int(record.started * 1000), run_name=f"{record.asset} {record.partition}", tags=tags
        )
        run_id = run.info.run_id
        try:
            self._fill(client, run_id, attempt.step, artifact)
        except Exception:
            with contextlib.suppress(Exception):  # else it would be shown as running for ever
                client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id, end_time=int(record.ended * 1000))

    def _fill(self, client: "MlflowClient", run_id: str, step: Step, artifact: Artifact) -> None:
        from mlflow.entities import Param, RunTag

        record = artifact.manifest
        settings = [
            Param(NOT_IN_NAMES.sub("_", key), str(value)[:LONGEST_VALUE]) for key, value in flat(record.settings)
        ]
        for start in range(0, len(settings), 100):  # the most that a request may hold
            client.log_batch(run_id, params=settings[start : start + 100])
        figures = list(_metrics(artifact))
        for start in range(0, len(figures), 1000):
            client.log_batch(run_id, metrics=figures[start : start + 1000])
        words = [RunTag(key, value) for key, value in record.metrics.items() if isinstance(value, str)]
        client.log_batch(run_id, tags=words[:100])
        client.log_text(run_id, record.text(), "manifest.json")
        for name in _uploaded(step):
            client.log_artifact(run_id, str(artifact / name))

    def _experiment_id(self, client: "MlflowClient") -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found:
            return found.experiment_id
        try:
            return client.create_experiment(self.experiment, artifact_location=self.artifacts)
        except Exception:
            found = client.get_experiment_by_name(self.experiment)  # another step was faster
            if found:
                return found.experiment_id
            raise

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            for name, value in CLIENT.items():
                os.environ.setdefault(name, value)  # read by the client; who set other ones keeps them
            from mlflow import MlflowClient

            if self.database:
                self.database.parent.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self.address)
        return self._client


def _uploaded(step: Step) -> list[str]:
    tables = [name for name, table in step.tables.items() if table in UPLOADED]
    return tables + [file.name for file in step.files if file in UPLOADED]


def _metrics(artifact: Artifact) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    record = artifact.manifest
    when = int(record.ended * 1000)
    costs = {
        "seconds": record.seconds,
        "rows": record.rows,
        "tokens": record.tokens,
        "peak_memory_bytes": record.peak_memory_bytes,
    }
    for key, value in {**costs, **record.metrics}.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Metric(key, float(value), when, 0)
    for step, loss in record.metrics.get("training_curve", []):
        yield Metric("loss", float(loss), when, int(step))
