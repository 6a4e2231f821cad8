"""OpenLineage run events, written with the official client where the profile's `openlineage` says so.

    job       namespace nomad-assets/<profile>, name <asset>
    run       a UUID of its own for each try of a step, with the Dagster run as its parent and its cell as a tag
    datasets  namespace nomad-assets://<profile>, name <asset>/<cell>, version: the artifact's id

A step that starts to work gives START, then COMPLETE, FAIL or (terminated by Dagster) ABORT; a process that is stopped or
killed ends at once, and its START stays open. A reused artifact gives nothing, since nothing ran. An event that cannot be
delivered costs a step one warning and at most `DEADLINE` seconds. An API key is read from OPENLINEAGE_API_KEY, never from
the profile. The client's own settings (OPENLINEAGE_DISABLED, openlineage.yml) hold too, except that they do not choose
where the events go.
"""

import contextlib
import importlib.metadata
import os
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from nomad_assets import __version__
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.graph import Graph
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Shown
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError
from nomad_assets.profile.profile import Profile
from nomad_assets.store.manifests import Artifact

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import DatasetFacet, RunFacet

API_KEY = "OPENLINEAGE_API_KEY"
TIMEOUT = 3.0
"""Seconds for connecting and for each read (HTTP)."""
DEADLINE = 8.0
"""Seconds after which an event is given up, whatever it is waiting for."""
LOCK_LOOKS = 0.005
"""Seconds between two looks whether another process still writes its event."""


def emitter(profile: Profile, graph: Graph) -> "Emitter | None":
    """Where the profile's events go; None when it wants none. Raises NomadError when the setting cannot be meant."""
    setting, key = profile.openlineage, f"profile {profile.name}: openlineage"
    if setting is None:
        return None
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", setting)
    if scheme is None:
        path = Path(profile.resolve(setting))
        if path.is_dir():
            raise NomadError(f"{key} = {setting!r}: a folder; give the path of a file, or an http(s):// address")
        return Emitter(profile.name, path, graph)
    if scheme[1].lower() not in ("http", "https"):
        raise NomadError(
            f"{key}: unsupported scheme {scheme[1]!r}; give the path of a file, or an http:// or https:// address"
        )
    return Emitter(profile.name, _checked_address(setting, key), graph)


def _checked_address(address: str, key: str) -> str:
    """The address itself. Errors do not repeat it: it may hold a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise NomadError(f"{key}: not a valid address; give one like http://localhost:5000") from None
    if "@" in parts.netloc:
        raise NomadError(f"{key}: user:password@ in the address; take it out and set {API_KEY} in the environment")
    if not host:
        raise NomadError(f"{key}: no host in the address; give one like http://localhost:5000")
    if parts.query or parts.fragment:
        raise NomadError(f"{key}: ? or # in the address; take it out, and set {API_KEY} if the endpoint wants a key")
    return address


def run_of(attempt: Attempt) -> str:
    """The UUID of a try of a step."""
    run = attempt.run
    return str(uuid.uuid5(uuid.UUID(run.id), f"{attempt.step.name}/{attempt.cell.label}/{run.retry}"))


class Emitter(Listener):
    """Writes the events of one profile to a file, one JSON line each, or posts them to an HTTP endpoint."""

    deadline = DEADLINE

    def __init__(self, profile: str, target: Path | str, graph: Graph):
        self.target, self.graph = target, graph
        self.job_namespace, self.dataset_namespace = f"nomad-assets/{profile}", f"nomad-assets://{profile}"

    def started(self, attempt: Attempt, reasons: list[Change], resumes: bool) -> None:
        self._deliver(attempt, "START")

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict[str, Shown]) -> None:
        self._deliver(attempt, "COMPLETE", artifact)

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        from openlineage.client.facet_v2 import error_message_run

        message = str(error) if isinstance(error, NomadError) else f"{type(error).__name__}: {error}"
        facet = error_message_run.ErrorMessageRunFacet(message, "PYTHON")
        self._deliver(attempt, "FAIL" if isinstance(error, Exception) else "ABORT", errorMessage=facet)

    def complaint(self, problem: str) -> str:
        return f"no OpenLineage event at {self.target}: {problem}"

    def _deliver(self, attempt: Attempt, state: str, artifact: Artifact | None = None, **facets: "RunFacet") -> None:
        client = self._client()
        try:
            event = self._event(attempt, state, artifact, facets)
            with _whole_lines(self.target) if isinstance(self.target, Path) else contextlib.nullcontext():
                client.emit(event)
        finally:
            client.close()

    def _client(self) -> "OpenLineageClient":
        from openlineage.client import OpenLineageClient, event_v2
        from openlineage.client.transport.file import FileConfig, FileTransport
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        event_v2.set_producer(_producer())
        if isinstance(self.target, Path):
            return OpenLineageClient(transport=FileTransport(FileConfig(str(self.target), append=True)))
        key = os.environ.get(API_KEY)
        settings = {
            "url": self.target, "timeout": TIMEOUT, "retry": {"total": 1, "status_forcelist": []},
            **({"auth": {"type": "api_key", "apiKey": key}} if key else {}),
        }  # fmt: skip
        path = urlsplit(self.target).path
        if path.strip("/"):
            settings["endpoint"] = path  # the client would replace the last part of it
        return OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict(settings)))

    def _event(
        self, attempt: Attempt, state: str, artifact: Artifact | None, facets: "dict[str, RunFacet]"
    ) -> "RunEvent":
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import job_type_job, parent_run, processing_engine_run, tags_run

        # Dagster run and root are the same: nothing that we know of started it.
        dagster_run = {"runId": attempt.run.id}, {"namespace": self.job_namespace, "name": attempt.run.job}
        run_facets = {
            "parent": parent_run.ParentRunFacet(
                parent_run.Run(**dagster_run[0]),
                parent_run.Job(**dagster_run[1]),
                parent_run.Root(parent_run.RootRun(**dagster_run[0]), parent_run.RootJob(**dagster_run[1])),
            ),
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                importlib.metadata.version("dagster"), "Dagster", _version()
            ),
            "tags": tags_run.TagsRunFacet([tags_run.TagsRunFacetFields("cell", attempt.cell.label, "NOMAD_ASSETS")]),
        }
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType="ASSET")
        return RunEvent(
            eventType=RunState(state),
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(run_of(attempt), {**run_facets, **facets}),
            job=Job(self.job_namespace, attempt.step.name, {"jobType": kind}),
            inputs=[self._input(place, artifact_id) for place, artifact_id in attempt.parents.items()],
            outputs=[self._output(attempt, artifact)] if artifact else [],
        )

    def _input(self, place: str, artifact_id: str) -> "InputDataset":
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset

        version = dataset_version_dataset.DatasetVersionDatasetFacet(artifact_id)
        return InputDataset(self.dataset_namespace, _dataset_name(place), facets={"version": version})

    def _output(self, attempt: Attempt, artifact: Artifact) -> "OutputDataset":
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset

        record = artifact.manifest
        version = dataset_version_dataset.DatasetVersionDatasetFacet(record.artifact_id)
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            record.rows, record.size, len(record.files)
        )
        name = _dataset_name(f"{record.asset}/{record.partition}")
        return OutputDataset(
            self.dataset_namespace, name, outputFacets={"outputStatistics": statistics},
            facets={"version": version, **_schema(attempt.step), **self._column_lineage(attempt)},
        )  # fmt: skip

    def _column_lineage(self, attempt: Attempt) -> "dict[str, DatasetFacet]":
        from openlineage.client.facet_v2 import column_lineage_dataset

        fields = {
            name: column_lineage_dataset.Fields(self._input_fields(attempt, pairs, copied))
            for name, (pairs, copied) in self.graph.column_sources(attempt.step.name).items()
        }
        return {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields)} if fields else {}

    def _input_fields(self, attempt: Attempt, pairs: list[tuple[str, str]], copied: bool) -> list:
        """The columns behind one column, in every partition of theirs that was read."""
        from openlineage.client.facet_v2 import column_lineage_dataset

        how = column_lineage_dataset.Transformation("DIRECT", "IDENTITY" if copied else "TRANSFORMATION")
        return [
            column_lineage_dataset.InputField(self.dataset_namespace, _dataset_name(place), column, [how])
            for parent, column in pairs
            for place in attempt.parents
            if place.partition("/")[0] == parent
        ]


def _schema(step: Step) -> "dict[str, DatasetFacet]":
    """Names, types and meanings of the main table's columns; nothing for a step without a table."""
    from openlineage.client.facet_v2 import schema_dataset

    if step.main is None:
        return {}
    columns = [
        schema_dataset.SchemaDatasetFacetFields(name, str(column.dtype), column.description)
        for name, column in step.main.to_schema().columns.items()
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(columns)}


def _dataset_name(place: str) -> str:
    """`seed_examples/-` -> `seed_examples`; `seed_subset/64` stays: the artifact's folder below the store's root."""
    return place.removesuffix("/-")


def _version() -> str:
    return __version__


def _producer() -> str:
    return f"urn:nomad-assets:{_version()}"


@contextlib.contextmanager
def _whole_lines(path: Path) -> Iterator[None]:
    """Hold the file while one event is appended, so that events of several processes never mix.

    A line that could not be written whole, on a full disk for example, is taken back; one that a killed process left
    is ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), poll_interval=LOCK_LOOKS), open(path, "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                file.write(b"\n")
                file.flush()
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise
