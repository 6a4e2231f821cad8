"""A real Dagster webserver and daemon over a grid, asked in GraphQL as the UI asks."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from nomad_assets_tests.smoke_grid import ROOT

LOCATION = """query { workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {
  __typename ... on RepositoryLocation { name } ... on PythonError { message } } } } } }"""


class Server:
    """`dagster dev` (webserver and daemon) on a free loopback port, with an instance and a store of its own."""

    def __init__(self, home: Path, profile: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home, self.profile = home, profile
        environment = {
            **os.environ, "DAGSTER_HOME": str(home), "NOMAD_HOME": str(home / "lake"), "NOMAD_PROFILE": str(profile),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.log = open(home / "server.log", "w")  # noqa: SIM115  closed in stop()
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(self.port)],
            cwd=home, env=environment, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def query(self, text: str, **variables: object) -> dict:
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def wait(self) -> None:
        """Until it serves the code location."""
        while True:
            assert self.process.poll() is None, Path(self.log.name).read_text()
            with contextlib.suppress(OSError):
                entries = self.query(LOCATION)["workspaceOrError"]["locationEntries"]
                if entries and entries[0]["loadStatus"] == "LOADED":
                    loaded = {"__typename": "RepositoryLocation", "name": "nomad_assets"}
                    assert entries[0]["locationOrLoadError"] == loaded
                    return
            time.sleep(0.5)

    def stop(self) -> None:
        """End it, and the webserver, daemon and code servers that it started and may leave behind."""
        started = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for process in psutil.wait_procs(started, timeout=10)[1]:
            process.kill()
        self.log.close()
