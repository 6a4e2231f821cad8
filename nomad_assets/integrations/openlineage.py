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
import fcntl
import functools
import importlib.metadata
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nomad_assets.cells import Cell
from nomad_assets.columns import sources, table_schema
from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Profile
from nomad_assets.storage import Artifact

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import RunFacet

API_KEY = "OPENLINEAGE_API_KEY"
TIMEOUT = 3.0
"""Seconds for connecting and for each read (HTTP)."""
DEADLINE = 8.0
"""Seconds after which an event is given up, whatever it is waiting for."""


@dataclass(frozen=True)
class Attempt:
    """One try of one step."""

    asset: str
    cell: Cell
    run_id: str
    """The Dagster run, a UUID."""
    job: str
    """The Dagster job."""
    number: int
    """Tries before this one in the same run."""
    parents: dict[str, str]
    """Asset and partition of each parent -> its artifact id, as in a manifest."""

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.UUID(self.run_id), f"{self.asset}/{self.cell.label}/{self.number}"))


def emitter(profile: Profile) -> "Emitter | None":
    """Where the profile's events go; None when it wants none. Raises NomadError when the setting cannot be meant."""
    setting, key = profile.openlineage, f"profile {profile.name}: openlineage"
    if setting is None:
        return None
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", setting)
    if scheme is None:
        path = Path(profile.resolve(setting))
        if path.is_dir():
            raise NomadError(f"{key} = {setting!r}: a folder; give the path of a file, or an http(s):// address")
        return Emitter(profile.name, path)
    if scheme[1].lower() not in ("http", "https"):
        raise NomadError(
            f"{key}: unsupported scheme {scheme[1]!r}; give the path of a file, or an http:// or https:// address"
        )
    return Emitter(profile.name, _checked_address(setting, key))


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


class Emitter:
    """Writes the events of one profile to a file, one JSON line each, or posts them to an HTTP endpoint."""

    def __init__(self, profile: str, target: Path | str):
        self.target = target
        self.job_namespace, self.dataset_namespace = f"nomad-assets/{profile}", f"nomad-assets://{profile}"

    @contextlib.contextmanager
    def reporting(self, attempt: Attempt, warn: Callable[[str], None]) -> Iterator[Callable[[Artifact], None]]:
        """START now; COMPLETE when the function that is given is called with the artifact; FAIL or ABORT on an error.

        `warn` gets at most one sentence, when events could not be delivered.
        """
        ended, warned = False, False

        def emit(make: Callable[[], "RunEvent"]) -> None:
            nonlocal warned
            problem = self._deliver(make)
            if problem is not None and not warned:
                warned = True
                warn(f"{attempt.asset} [{attempt.cell.label}]: no OpenLineage event at {self.target}: {problem}")

        def completed(artifact: Artifact) -> None:
            nonlocal ended
            ended = True
            emit(lambda: self._completed(attempt, artifact))

        try:
            emit(lambda: self._event(attempt, "START"))
            yield completed
        except BaseException as error:
            if not ended:
                emit(functools.partial(self._ended_early, attempt, error))
            raise

    def _deliver(self, make: Callable[[], "RunEvent"]) -> str | None:
        """Build and send one event; why it failed, or None.

        It is sent in a thread of its own: name servers, slow endpoints and network disks can all hang for longer than
        any timeout of the client.
        """
        failures: list[Exception] = []

        def send() -> None:
            try:
                with _whole_lines(self.target) if isinstance(self.target, Path) else contextlib.nullcontext():
                    client.emit(event)
            except Exception as error:  # no fault of the record may become a fault of the work
                failures.append(error)
            finally:
                client.close()

        try:
            client, event = self._client(), make()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        worker = threading.Thread(target=send, name="openlineage", daemon=True)
        worker.start()
        worker.join(DEADLINE)
        if worker.is_alive():
            return f"no answer within {DEADLINE:g} s"
        return f"{type(failures[0]).__name__}: {failures[0]}" if failures else None

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

    def _event(self, attempt: Attempt, state: str, outputs: list | None = None, **facets: "RunFacet") -> "RunEvent":
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import job_type_job, parent_run, processing_engine_run, tags_run

        # Dagster run and root are the same: nothing that we know of started it.
        dagster_run = {"runId": attempt.run_id}, {"namespace": self.job_namespace, "name": attempt.job}
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
            run=Run(attempt.id, {**run_facets, **facets}),
            job=Job(self.job_namespace, attempt.asset, {"jobType": kind}),
            inputs=[self._input(place, artifact_id) for place, artifact_id in attempt.parents.items()],
            outputs=outputs or [],
        )

    def _completed(self, attempt: Attempt, artifact: Artifact) -> "RunEvent":
        return self._event(attempt, "COMPLETE", [self._output(attempt, artifact)])

    def _ended_early(self, attempt: Attempt, error: BaseException) -> "RunEvent":
        from openlineage.client.facet_v2 import error_message_run

        message = str(error) if isinstance(error, NomadError) else f"{type(error).__name__}: {error}"
        facet = error_message_run.ErrorMessageRunFacet(message, "PYTHON")
        return self._event(attempt, "FAIL" if isinstance(error, Exception) else "ABORT", errorMessage=facet)

    def _input(self, place: str, artifact_id: str) -> "InputDataset":
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset

        version = dataset_version_dataset.DatasetVersionDatasetFacet(artifact_id)
        return InputDataset(self.dataset_namespace, _dataset_name(place), facets={"version": version})

    def _output(self, attempt: Attempt, artifact: Artifact) -> "OutputDataset":
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import (
            column_lineage_dataset,
            dataset_version_dataset,
            output_statistics_output_dataset,
            schema_dataset,
        )

        record = artifact.manifest
        facets = {"version": dataset_version_dataset.DatasetVersionDatasetFacet(record.artifact_id)}
        table = table_schema(attempt.asset)
        if table is not None:
            columns = [schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.description) for c in table.columns]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(columns)
        fields = {
            name: column_lineage_dataset.Fields(self._input_fields(attempt, pairs, copied))
            for name, (pairs, copied) in sources(attempt.asset).items()
        }
        if fields:
            facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(fields)
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            record.rows, sum(file["bytes"] for file in record.files.values()), len(record.files)
        )
        name = _dataset_name(f"{record.asset}/{record.partition}")
        return OutputDataset(self.dataset_namespace, name, outputFacets={"outputStatistics": statistics}, facets=facets)

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


def _dataset_name(place: str) -> str:
    """`seed_examples/-` -> `seed_examples`; `seed_subset/64` stays: the artifact's folder below the store's root."""
    return place.removesuffix("/-")


def _version() -> str:
    return importlib.metadata.version("nomad-assets")


def _producer() -> str:
    return f"urn:nomad-assets:{_version()}"


@contextlib.contextmanager
def _whole_lines(path: Path) -> Iterator[None]:
    """Hold the file while one event is appended, so that events of several processes never mix.

    A line that could not be written whole, on a full disk for example, is taken back; one that a killed process left
    is ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
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
