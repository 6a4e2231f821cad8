"""A stand-in for the Hugging Face hub on loopback: the part of its protocol by which huggingface_hub uploads a folder.

Repositories are kept in memory: (repository type, name) -> path -> content. Small files come inside a commit, large ones by LFS:
a batch request names upload addresses, the content is put there, and the commit refers to it by its sha256.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from nomad_assets.integrations.licences import LICENCES

TOKEN = "hf_" + "x" * 34
REPO_TYPES = {"datasets": "dataset", "models": "model"}


class Hub:
    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: dict[tuple[str, str], bool] = {}
        self.large: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.address = ""
        self.refuse: int | None = None

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, object]:
        path = path.partition("?")[0]
        self.calls.append(f"{method} {path}")
        if self.refuse:
            return self.refuse, {"error": "refused"}
        if method == "PUT" and (found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path)):
            if hashlib.sha256(body).hexdigest() != found[1]:
                return 400, {"error": "the content is another one"}
            self.large[found[1]] = body
            return 200, {}
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid username or password."}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": _faults(json.loads(body)["content"]), "warnings": []}
        if found := re.fullmatch(r"(?:/(datasets))?/(.+)\.git/info/lfs/objects/batch", path):
            return 200, self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)/(preupload|commit|revision|tree)/(.+)", path):
            key = REPO_TYPES[found[1]], found[2]
            if key not in self.repositories:
                return 404, {"error": "Repository not found"}
            if found[3] == "preupload":
                files = json.loads(body)["files"]
                modes = [{"path": f["path"], "uploadMode": "lfs" if _is_large(f) else "regular"} for f in files]
                return 200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]}
            if found[3] == "commit":
                return self._commit(key, body)
            if found[3] == "tree":
                there = self.repositories[key].items()
                return 200, [{"type": "file", "path": p, "size": len(c), "oid": "0" * 40} for p, c in there]
            return 200, {"sha": "0" * 40, "id": key[1], "siblings": []}
        if found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)", path):
            key = REPO_TYPES[found[1]], found[2]
            return (200, {"id": key[1], "sha": "0" * 40}) if key in self.repositories else (404, {"error": "not found"})
        return 404, {"error": f"{method} {path}"}

    def _create(self, asked: dict) -> tuple[int, object]:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        repo_type = asked.get("type") or "model"
        if (repo_type, name) in self.repositories:
            return 409, {"error": "You already created this repo", "url": f"{self.address}/{name}"}
        self.repositories[repo_type, name], self.private[repo_type, name] = {}, asked.get("visibility") == "private"
        prefix = "datasets/" if repo_type == "dataset" else ""
        return 200, {"url": f"{self.address}/{prefix}{name}", "name": name}

    def _batch(self, asked: dict) -> dict:
        def entry(item: dict) -> dict:
            upload = {"href": f"{self.address}/lfs/{item['oid']}", "header": {}}
            there = item["oid"] in self.large
            return {**item, **({} if there else {"actions": {"upload": upload}})}

        return {"transfer": "basic", "objects": [entry(item) for item in asked["objects"]]}

    def _commit(self, key: tuple[str, str], body: bytes) -> tuple[int, object]:
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                self.repositories[key][value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "deletedFile":
                del self.repositories[key][value["path"]]
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.large:
                    return 400, {"error": f"{value['path']} was never uploaded"}
                self.repositories[key][value["path"]] = self.large[value["oid"]]
        prefix = "datasets/" if key[0] == "dataset" else ""
        return 200, {
            "success": True, "commitOid": "1" * 40, "commitUrl": f"{self.address}/{prefix}{key[1]}/commit/{'1' * 40}",
        }  # fmt: skip


def _faults(card: str) -> list[dict]:
    """What the hub refuses in the head of a card: a licence that is not on its list."""
    head = yaml.safe_load(card.split("---\n")[1])
    if head.get("license") not in {*LICENCES, "other", "unknown"}:
        return [{"message": f'"license" must be one of [...]; found {head.get("license")!r}'}]
    return []


def _is_large(file: dict) -> bool:
    return file["size"] > 100_000 or file["path"].endswith((".parquet", ".safetensors"))


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._body()
            status, found = hub.answer(self.command, self.path, body, self.headers.get("Authorization"))
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
