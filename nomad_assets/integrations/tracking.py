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
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile
from nomad_assets.storage import MANIFEST, Artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

SHOWN = (
    MANIFEST,
    "scores.parquet",
    "comparisons.parquet",
    "metrics.parquet",
    "curve.parquet",
    "report.html",
    "report.md",
)
DEADLINE = 30.0
"""Seconds after which an artifact is given up, whatever the server is waiting for."""
CLIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
    # Else a server may ask a step to wait for an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}  # fmt: skip
LONGEST_VALUE = 500  # characters; what older servers take for a parameter


def tracker(profile: Profile) -> "Tracker | None":
    """Where the profile's artifacts are tracked; None when it wants none.

    Raises NomadError when the setting cannot be meant, or the client is not installed.
    """
    setting, key = profile.mlflow, f"profile {profile.name}: mlflow"
    if setting is None:
        return None
    if importlib.util.find_spec("mlflow") is None:
        raise NomadError(f"{key} = {setting!r}: MLflow's client is not installed; pip install mlflow-skinny")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", setting)
    if scheme is None:
        return Tracker(profile, Path(profile.resolve(setting)))
    if scheme[1].lower() not in ("http", "https"):
        raise NomadError(f"{key}: unsupported scheme {scheme[1]!r}; give an http(s):// address or the path of a file")
    if "@" in urlsplit(setting).netloc:
        raise NomadError(f"{key}: user:password@ in the address; set MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
    return Tracker(profile, setting)


class Tracker:
    """Writes artifacts of one profile to one MLflow server or database."""

    def __init__(self, profile: Profile, place: Path | str):
        """`place`: the file of a SQLite database, which keeps its artifacts in a folder beside it, or an address."""
        self.experiment = f"nomad-assets/{profile.name}"
        self.database = place if isinstance(place, Path) else None
        self.address = f"sqlite:///{place}" if self.database else str(place)
        self.artifacts = (place.parent / f"{place.name}-artifacts").as_uri() if self.database else None
        self._client: MlflowClient | None = None

    def record(self, artifact: Artifact, warn: Callable[[str], None]) -> str | None:
        """The id of the run that was written; None after a warning when it could not be."""
        written: list[str] = []
        problems: list[str] = [f"no answer within {DEADLINE:g} s"]

        def write() -> None:
            try:
                written.append(self._write(artifact))
            except Exception as error:  # whatever a server or its database does must not lose a step that is done
                problems[:] = [str(error).splitlines()[0][:200] if str(error) else type(error).__name__]

        worker = threading.Thread(target=write, name="mlflow", daemon=True)
        worker.start()
        worker.join(DEADLINE)
        if written:
            return written[0]
        warn(f"MLflow at {self.address}: {artifact.manifest.artifact_id} was not tracked: {problems[0]}")
        return None

    def _write(self, artifact: Artifact) -> str:
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
            self._fill(client, run_id, artifact)
        except Exception:
            with contextlib.suppress(Exception):  # else it would be shown as running for ever
                client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id, end_time=int(record.ended * 1000))
        return run_id

    def _fill(self, client: "MlflowClient", run_id: str, artifact: Artifact) -> None:
        from mlflow.entities import Param, RunTag

        record = artifact.manifest
        settings = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in _flat(record.settings)]
        for start in range(0, len(settings), 100):  # the most that a request may hold
            client.log_batch(run_id, params=settings[start : start + 100])
        figures = list(_metrics(artifact))
        for start in range(0, len(figures), 1000):
            client.log_batch(run_id, metrics=figures[start : start + 1000])
        words = [RunTag(key, value) for key, value in record.metrics.items() if isinstance(value, str)]
        client.log_batch(run_id, tags=words[:100])
        for name in SHOWN:
            if (artifact / name).is_file():
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


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        name = re.sub(r"[^\w./ -]", "_", f"{prefix}{key}")
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


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
