"""OpenLineage events: what is in them, and that nothing that can go wrong with them touches a step."""

import enum
import importlib
import json
import multiprocessing
import os
import pkgutil
import resource
import socket
import subprocess
import sys
import threading
import typing
import uuid
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import attr
import pytest

import nomad_assets
from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Attempt, Audience, Run
from nomad_assets.errors import NomadError
from nomad_assets.integrations.openlineage import DEADLINE, Emitter, emitter, run_of
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.steps import GRAPH
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import FORMAT, Artifact, Manifest
from nomad_assets_tests import toy
from nomad_assets_tests.toy import Recorder

RUN = "5f3f5b4e-7d4c-4b58-9d6c-6a0a5f0f4c11"
PARENTS = {
    "synthetic_corpus/64/unmasked": "synthetic_corpus/64/unmasked/aaa",
    "seed_subset/64": "seed_subset/64/bbb",
    "seed_examples/-": "seed_examples/ccc",
    "benchmark_questions/-": "benchmark_questions/ddd",
}
ATTEMPT = Attempt(GRAPH["curated_corpus"], Cell(64, "unmasked"), Run(RUN, "grid"), PARENTS)
SMOKE = Path(nomad_assets.__file__).parent / "profile" / "shipped" / "smoke.toml"
SECRET = "s3cret-key"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the client leaks in, and loopback goes past any proxy."""
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.chdir(tmp_path)


def artifact(attempt: Attempt = ATTEMPT) -> Artifact:
    manifest = Manifest(
        format=FORMAT, asset=attempt.step.name, partition=attempt.cell.label, version=1,
        artifact_id=f"{attempt.step.name}/{attempt.cell.label}/eee", fingerprint="i", content_digest="c", code_version="1",
        settings={}, reads={}, parents=attempt.parents, run_id=RUN, started=0.0, ended=1.0, files={"curated.parquet": {"bytes": 700, "sha256": "x"}, "e.safetensors": {"bytes": 34, "sha256": "y"}}, rows=56,
    )  # fmt: skip
    return Artifact(Path("/nowhere"), manifest)


def settled(tmp_path: Path, setting: str | None) -> Profile:
    """A shipped profile with another `openlineage` setting, read from a file in `tmp_path`."""
    text = SMOKE.read_text(encoding="utf-8")
    line = "" if setting is None else f"openlineage = {json.dumps(setting)}\n"
    path = tmp_path / "own.toml"
    path.write_text(line + text, encoding="utf-8")
    return load_profile(str(path))


def of_own(path: Path) -> Emitter:
    return Emitter("own", path, GRAPH)


def configured(tmp_path: Path, setting: str | None) -> Emitter | None:
    return emitter(settled(tmp_path, setting), GRAPH)


def report(events: Emitter, attempt: Attempt = ATTEMPT, error: BaseException | None = None) -> list[str]:
    """START and COMPLETE of one step, or its failure; the warnings."""
    listener = Recorder()
    with Audience([events, listener]).watching(attempt, [], False) as made:
        if error:
            raise error
        made(artifact(attempt), {})
    return listener.warnings


def lines(path: Path) -> list[dict]:
    return [checked(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def checked(event: dict) -> dict:
    """The event itself, after it was rebuilt from the client's own classes and came out the same."""
    import openlineage.client.generated as generated
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.serde import Serde

    modules = [
        importlib.import_module(f"{generated.__name__}.{m.name}") for m in pkgutil.iter_modules(generated.__path__)
    ]
    facets = {c._get_schema(): c for m in modules for c in vars(m).values() if hasattr(c, "_get_schema")}
    assert {"eventTime", "producer", "schemaURL", "run", "job"} <= set(event)
    uuid.UUID(event["run"]["runId"])
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert Serde.to_dict(rebuilt(RunEvent, event, facets)) == event
    return event


def rebuilt(kind: object, value: object, facets: dict[str, type]) -> object:
    """`value` as an object of the annotated kind; a facet's class is the one that its schema address names."""
    if isinstance(value, dict) and "_schemaURL" in value:
        kind = facets[value["_schemaURL"]]
    for inner in typing.get_args(kind) if not attr.has(kind) else ():
        if typing.get_origin(kind) not in (list, dict) and inner is not type(None):
            return rebuilt(inner, value, facets)
    if isinstance(value, list):
        return [rebuilt(typing.get_args(kind)[0], item, facets) for item in value]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if attr.has(kind):
        hints = typing.get_type_hints(kind)
        fields = {field.name: field.alias for field in attr.fields(kind)}
        given = {fields[name]: rebuilt(hints[name], item, facets) for name, item in value.items()}
        return kind(**{name: item for name, item in given.items() if name not in ("schemaURL",)})
    if typing.get_origin(kind) is dict:
        return {name: rebuilt(typing.get_args(kind)[1], item, facets) for name, item in value.items()}
    return value


def test_no_setting_no_events_and_no_import_of_the_client(tmp_path: Path) -> None:
    assert configured(tmp_path, None) is None
    code = "import sys, nomad_assets.integrations.openlineage; sys.exit('openlineage' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SMOKE.parent).returncode == 0


def test_start_and_complete_in_a_file_beside_the_profile(tmp_path: Path) -> None:
    events = configured(tmp_path, "logs/events.jsonl")
    assert report(events) == []
    start, complete = lines(tmp_path / "logs/events.jsonl")
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["eventTime"] < complete["eventTime"] and start["producer"].startswith("urn:nomad-assets:")
    assert start["job"]["namespace"] == "nomad-assets/own" and start["job"]["name"] == "curated_corpus"
    assert start["run"]["runId"] == complete["run"]["runId"] != RUN
    for event in (start, complete):
        facets = event["run"]["facets"]
        assert facets["parent"]["run"]["runId"] == RUN == facets["parent"]["root"]["run"]["runId"]
        assert facets["parent"]["job"]["name"] == "grid"
        assert facets["processing_engine"]["name"] == "Dagster" and facets["processing_engine"]["version"].startswith(
            "1."
        )
        assert {"key": "cell", "value": "64/unmasked", "source": "NOMAD_ASSETS"} in facets["tags"]["tags"]
        assert {(i["namespace"], i["name"], i["facets"]["version"]["datasetVersion"]) for i in event["inputs"]} == {
            ("nomad-assets://own", place.removesuffix("/-"), parent) for place, parent in PARENTS.items()
        }
    assert start["outputs"] == []


def test_the_output_carries_statistics_schema_and_column_lineage(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    report(of_own(path))
    (output,) = lines(path)[1]["outputs"]
    assert (output["namespace"], output["name"]) == ("nomad-assets://own", "curated_corpus/64/unmasked")
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (56, 734, 2)
    assert output["facets"]["version"]["datasetVersion"] == "curated_corpus/64/unmasked/eee"
    described = [(f["name"], f["type"], f.get("description")) for f in output["facets"]["schema"]["fields"]]
    columns = GRAPH["curated_corpus"].main.to_schema().columns
    assert [name for name, _, _ in described] == list(columns)
    assert ("attempt", "Int64", "number of the prompt, from 0") in described
    assert ("majority_answer", "Boolean", "whether this row's final answer is the most frequent one") in described
    assert ("normsim_2", "Float64", "relevance: NormSim_2 to the seed pool") in described
    assert all(description for _, _, description in described)
    lineage = output["facets"]["columnLineage"]["fields"]
    assert lineage["response"]["inputFields"] == [
        {
            "namespace": "nomad-assets://own", "name": "synthetic_corpus/64/unmasked", "field": "response",
            "transformations": [{"type": "DIRECT", "subtype": "IDENTITY"}],
        }
    ]  # fmt: skip
    assert {(f["name"], f["field"]) for f in lineage["normsim_2"]["inputFields"]} == {
        ("synthetic_corpus/64/unmasked", "prompt"), ("seed_examples", "prompt"),
    }  # fmt: skip
    assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_an_asset_without_a_table_has_neither_schema_nor_lineage(tmp_path: Path) -> None:
    report(of_own(tmp_path / "e"), Attempt(GRAPH["base_model"], Cell(), Run(RUN, "inputs")))
    start, complete = lines(tmp_path / "e")
    assert start["inputs"] == [] and set(complete["outputs"][0]["facets"]) == {"version"}
    assert complete["outputs"][0]["name"] == "base_model"


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (
            NomadError("curated_corpus [64/unmasked]: too few rows"),
            "FAIL",
            "curated_corpus [64/unmasked]: too few rows",
        ),
        (ValueError("odd \udc80"), "FAIL", "ValueError: odd \udc80"),
        (KeyboardInterrupt(), "ABORT", "KeyboardInterrupt: "),
    ],
)
def test_an_error_passes_through_and_ends_the_run(tmp_path: Path, error, state: str, message: str) -> None:
    with pytest.raises(type(error)) as raised:
        report(of_own(tmp_path / "e"), error=error)
    assert raised.value is error
    start, end = lines(tmp_path / "e")
    assert (start["eventType"], end["eventType"], end["outputs"]) == ("START", state, [])
    facet = end["run"]["facets"]["errorMessage"]
    assert (facet["message"], facet["programmingLanguage"]) == (message, "PYTHON")


def test_every_try_of_every_step_has_a_run_of_its_own() -> None:
    tries = [
        Attempt(GRAPH[asset], cell, Run(run, "grid", retry))
        for asset in ("teacher_model", "student_model")
        for cell in (Cell(64, "unmasked"), Cell(64, "masked"))
        for run in (RUN, str(uuid.uuid4()))
        for retry in (0, 1)
    ]
    assert len({run_of(one) for one in tries}) == 16
    base = GRAPH["base_model"]
    assert run_of(Attempt(base, Cell(), Run(RUN, "j"))) == run_of(Attempt(base, Cell(), Run(RUN, "other"), PARENTS))


# Through the runner.


def made_in_toys(store: LocalStore, tmp_path: Path, grid: toy.ToyGrid = toy.WORLD) -> list[tuple[str, str, list[str]]]:
    """(event, asset, inputs) of two runs of the first two toy steps."""
    events = Emitter("own", tmp_path / "e", toy.GRAPH)
    for _ in range(2):
        toy.make(store, "words", Cell(), events, grid=grid)
        toy.make(store, "sample", Cell(2), events, grid=grid)
    return [(e["eventType"], e["job"]["name"], [i["name"] for i in e["inputs"]]) for e in lines(tmp_path / "e")]


def test_events_of_what_ran_and_none_of_what_was_reused(store: LocalStore, tmp_path: Path) -> None:
    assert made_in_toys(store, tmp_path) == [
        ("START", "words", []), ("COMPLETE", "words", []), ("START", "sample", ["words"]), ("COMPLETE", "sample", ["words"]),
    ]  # fmt: skip
    (output,) = lines(tmp_path / "e")[-1]["outputs"]
    made = store.require("sample", Cell(2)).manifest
    assert (output["name"], output["facets"]["version"]["datasetVersion"]) == ("sample/2", made.artifact_id)
    assert [f["name"] for f in output["facets"]["schema"]["fields"]] == ["id", "word"]
    assert set(output["facets"]["columnLineage"]["fields"]) == {"id", "word"}


def test_a_step_that_fails_says_so(store: LocalStore, tmp_path: Path) -> None:
    def fail(config: toy.WordsConfig, inputs: object, out: object) -> None:
        raise NomadError("too few words")

    with pytest.raises(NomadError, match=r"^words \[-\]: too few words$"):
        made_in_toys(store, tmp_path, toy.WORLD.changed("words", body=fail))
    start, end = lines(tmp_path / "e")
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assert end["run"]["facets"]["errorMessage"]["message"] == "too few words"
    assert start["run"]["runId"] == end["run"]["runId"]


def test_an_endpoint_that_refuses_leaves_the_step_alone(store: LocalStore, tmp_path: Path) -> None:
    listener = Recorder()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    toy.make(store, "words", Cell(), Emitter("own", address, toy.GRAPH), listener)
    (warning,) = listener.warnings
    assert warning.startswith(f"no OpenLineage event at {address}: ") and store.current("words", Cell())


class Endpoint(HTTPServer):
    """A loopback endpoint that keeps what it got."""

    def __init__(self, status: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.got = status, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.append((self.path, self.headers.get("Authorization"), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    server = Endpoint(getattr(request, "param", 201))
    yield server
    server.shutdown()
    server.server_close()


def test_http_with_the_key_of_the_environment_in_the_header_alone(tmp_path, monkeypatch, endpoint: Endpoint) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
    assert report(configured(tmp_path, endpoint.address)) == []
    assert [(path, key) for path, key, _ in endpoint.got] == [("/api/v1/lineage", f"Bearer {SECRET}")] * 2
    assert [checked(json.loads(body))["eventType"] for *_, body in endpoint.got] == ["START", "COMPLETE"]
    assert not any(SECRET in body for *_, body in endpoint.got)


def test_http_without_a_key_and_with_a_path_that_is_taken_as_it_is(tmp_path, endpoint: Endpoint) -> None:
    assert report(configured(tmp_path, f"{endpoint.address}/lineage/in")) == []
    assert [(path, key) for path, key, _ in endpoint.got] == [("/lineage/in", None)] * 2


@pytest.mark.parametrize("endpoint", [401, 500], indirect=True)
def test_a_refusal_is_one_warning_without_the_key(tmp_path, monkeypatch, endpoint: Endpoint) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
    (warning,) = report(configured(tmp_path, endpoint.address))
    assert warning.startswith(f"no OpenLineage event at {endpoint.address}: HTTPError")
    assert str(endpoint.status) in warning and SECRET not in warning
    assert len(endpoint.got) == 2


def test_a_dead_port_is_one_warning(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (warning,) = report(configured(tmp_path, f"http://127.0.0.1:{port}"))
    assert "refused" in warning


def test_an_endpoint_that_never_answers_is_given_up_after_the_deadline(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        events = configured(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert events.deadline == DEADLINE
        events.deadline = 0.5
        (warning,) = report(events)
    assert "no answer within 0.5 s" in warning


def test_a_full_disk_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "e").symlink_to("/dev/full")
    (warning,) = report(of_own(tmp_path / "e"))
    assert "No space left" in warning


def test_a_line_that_could_not_be_written_whole_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "e"
    events = of_own(path)
    report(events)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        warnings = report(events)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(warnings) == 1 and "too large" in warnings[0]
    assert path.read_bytes() == before


def test_half_a_line_that_a_killed_process_left_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_text('{"eventTi')
    assert report(of_own(path)) == []
    broken, *whole = path.read_text(encoding="utf-8").splitlines()
    assert broken == '{"eventTi' and [checked(json.loads(line))["eventType"] for line in whole] == ["START", "COMPLETE"]


def append(path: str, name: str) -> None:
    for number in range(40):
        attempt = Attempt(GRAPH["curated_corpus"], Cell(64, "m"), Run(RUN, "grid", number), PARENTS)
        assert report(Emitter(name, Path(path), GRAPH), attempt) == []


def test_two_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append, args=(str(path), name)) for name in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {(event["job"]["namespace"], event["run"]["runId"], event["eventType"]) for event in events}
    assert len(events) == len(found) == 160


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (".", "openlineage = '.': a folder"),
        ("s3://bucket/events", "openlineage: unsupported scheme 's3'"),
        ("file:///tmp/events", "openlineage: unsupported scheme 'file'"),
        ("localhost:5000", "openlineage: unsupported scheme 'localhost'"),
        ("http://me:hunter2@host:5000", "openlineage: user:password@ in the address"),
        ("https://hunter2@host", "openlineage: user:password@ in the address"),
        ("http://host?api_key=hunter2", r"openlineage: \? or # in the address"),
        ("http:/me:hunter2@host", "openlineage: no host in the address"),
        ("http://host:hunter2", "openlineage: not a valid address"),
        ("http://[::1", "openlineage: not a valid address"),
    ],
)
def test_a_setting_that_cannot_be_meant_names_the_key_and_tells_no_secret(tmp_path, setting, message: str) -> None:
    with pytest.raises(NomadError, match=message) as error:
        configured(tmp_path, setting)
    assert "hunter2" not in str(error.value)


def test_the_clients_own_switch_turns_events_off(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert report(of_own(tmp_path / "e")) == []
    assert not (tmp_path / "e").read_bytes()
