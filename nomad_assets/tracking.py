"""Experiment tracking: each artifact as an MLflow run, where the profile's `mlflow` says so.

    experiment  nomad-assets/<profile>
    run         <asset> <cell>; its tags hold the artifact's id, its cell and the Dagster run
    params      the settings that the artifact depends on, by dotted key
    metrics     its figures, what it cost, and the loss of each training step
    artifacts   manifest.json, and what people look at: scores, comparisons, the report

A run is written once its artifact is published, so what MLflow shows is there. A server that is down or slow costs a step
one warning and some seconds. Tokens and passwords are read from MLflow's own variables (MLFLOW_TRACKING_TOKEN, ...),
never from the profile.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nomad_assets.errors import NomadError
from nomad_assets.profile import Profile
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
TIMEOUT_SECONDS, TRIES = 5, 1
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
        return Tracker(profile, f"sqlite:///{profile.resolve(setting)}")
    if scheme[1].lower() not in ("http", "https"):
        raise NomadError(f"{key}: unsupported scheme {scheme[1]!r}; give an http(s):// address or the path of a file")
    if "@" in urlsplit(setting).netloc:
        raise NomadError(f"{key}: user:password@ in the address; set MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
    return Tracker(profile, setting)


class Tracker:
    """Writes artifacts of one profile to one MLflow server or database."""

    def __init__(self, profile: Profile, address: str):
        self.address, self.experiment = address, f"nomad-assets/{profile.name}"
        self._client: MlflowClient | None = None

    def record(self, artifact: Artifact, warn: Callable[[str], None]) -> str | None:
        """The id of the run that was written; None after a warning when it could not be."""
        try:
            return self._write(artifact)
        except Exception as error:  # whatever a server or its database does must not lose a step that is done
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            warn(f"MLflow at {self.address}: {artifact.manifest.artifact_id} was not tracked: {reason}")
            return None

    def _write(self, artifact: Artifact) -> str:
        from mlflow.entities import Param, RunTag

        client, record = self._connect(), artifact.manifest
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment)
        tags = {
            "artifact_id": record.artifact_id, "asset": record.asset, "cell": record.partition,
            "dagster_run_id": record.run_id, "content_digest": record.content_digest,
        }  # fmt: skip
        run = client.create_run(
            experiment, start_time=int(record.started * 1000), run_name=f"{record.asset} {record.partition}", tags=tags
        )
        run_id = run.info.run_id
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
        client.set_terminated(run_id, end_time=int(record.ended * 1000))
        return run_id

    def _connect(self) -> "MlflowClient":
        if self._client is None:
            # Read by the client at each request; who set other ones keeps them.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT_SECONDS))
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(TRIES))
            from mlflow import MlflowClient

            if self.address.startswith("sqlite:///"):
                Path(self.address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
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
