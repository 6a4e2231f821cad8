"""What the crash tests share: a run that is killed at a chosen file operation, a reader that polls, what is compared.

As a script, `crash.py FILTER N ARGUMENTS...` is the command line, with two changes. Right before its N-th file operation
(0: never) it kills itself and everything it started with SIGKILL. FILTER is `any`, every operation in the store or in
Dagster's home, reads included; `change`, those that change the store; or `publish`, those that change it outside of
staging. And before each of the last kind it waits a moment, so that a reader sees every state on the way. It prints
`begun` at its first operation in the store, and where it dies. What libraries written in Rust and C do on their own is
not seen: that is left to kills after a time.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

CHANGES = {
    "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime", "shutil.rmtree",
}  # fmt: skip
FILTERS = ("any", "change", "publish")
SHOWN_SECONDS = 0.02
WATCHED = {*CHANGES, "open", "os.scandir", "os.listdir", "sqlite3.connect"}


def main() -> None:
    which, nth, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    store, home = (os.path.abspath(os.environ[name]) for name in ("NOMAD_HOME", "DAGSTER_HOME"))
    seen, begun = dict.fromkeys(FILTERS, 0), False
    out = os.dup(1)  # while a step runs, Dagster has 1 in a file

    def count(event: str, values: tuple) -> None:
        nonlocal begun
        if event not in WATCHED or not isinstance(values[0], str | bytes | os.PathLike):
            return
        path = _target(event, values)
        if not begun and path.startswith(store):
            begun = True
            os.write(out, b"begun\n")
        kinds = _kinds(event, values, path, store, home)
        for kind in kinds:
            seen[kind] += 1
        if "publish" in kinds:
            time.sleep(SHOWN_SECONDS)
        if which in kinds and seen[which] == nth:
            os.write(out, f"{event} {os.path.relpath(path, home)}\n".encode())
            os.killpg(0, signal.SIGKILL)

    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job would inherit that it is ignored
    sys.path[0] = str(Path(__file__).parents[1])
    from nomad_assets.cli import app

    sys.addaudithook(count)
    sys.exit(app(arguments))


def _target(event: str, values: tuple) -> str:
    """The path an operation is about; of a rename, the new one."""
    return os.path.abspath(os.fsdecode(values[1] if event == "os.rename" else values[0]))


def _kinds(event: str, values: tuple, path: str, store: str, home: str) -> list[str]:
    kinds = ["any"] if path.startswith((store, home)) else []
    changes = event in CHANGES or (event == "open" and _writes(values[2]))
    if changes and path.startswith(store):
        kinds += ["change"] if f"{os.sep}.staging" in path else ["change", "publish"]
    return kinds


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class Run:
    """`nomad-assets run` in a process and a session of its own, its messages in a file."""

    started: ClassVar[list["Run"]] = []

    def __init__(
        self, home: Path, profile: Path, *arguments: str, which: str = "any", nth: int = 0, prefix: tuple[str, ...] = ()
    ):
        environment = {
            **os.environ, "DAGSTER_HOME": str(home), "NOMAD_HOME": str(home / "lake"),
        }  # fmt: skip
        self.said = home / f"said-{time.monotonic_ns()}.txt"
        with open(self.said, "w") as messages:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, __file__, which, str(nth), "run", "-p", str(profile), *arguments],
                cwd=home, env=environment, stdout=subprocess.PIPE, stderr=messages, text=True, start_new_session=True,
            )  # fmt: skip
        Run.started.append(self)

    @property
    def messages(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def wait_begun(self) -> None:
        self.process.stdout.readline()

    def wait(self, seconds: float = 300) -> int:
        """The exit code, negative after a signal. Raises AssertionError with its messages when it does not end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended after {seconds} s: {self.messages}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole session, whatever is left of it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.last = self.process.stdout.read() if not self.process.stdout.closed else self.last
        self.process.stdout.close()


def torn(version: Path) -> str | None:
    """What is wrong with a version that readers can see, or None: every file of its manifest, whole, and no other."""
    try:
        files = json.loads((version / "manifest.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{version}: {error!r}"
    found = {p.relative_to(version).as_posix() for p in version.rglob("*") if p.is_file()} - {"manifest.json"}
    if found != set(files):
        return f"{version}: files {sorted(found)}, in its manifest {sorted(files)}"
    for name, entry in files.items():
        content = (version / name).read_bytes()
        if (len(content), hashlib.sha256(content).hexdigest()) != (entry["bytes"], entry["sha256"]):
            return f"{version / name}: not the bytes of its manifest"
    return None


def versions(root: Path) -> list[Path]:
    """Every version folder of a store that a reader can see, with a manifest or without."""
    found = (p for depth in ("*", "*/*", "*/*/*") for p in root.glob(f"{depth}/v[0-9]*"))
    return sorted(p for p in found if p.relative_to(root).parts[0][0] != ".")


class Reader:
    """Polls a store while a block runs; each version is read in full when it first appears."""

    def __init__(self, root: Path):
        self.root, self.seen, self.torn = root, set(), []

    def __enter__(self) -> "Reader":
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._poll)
        self.thread.start()
        return self

    def _poll(self) -> None:
        while not self.stop.wait(0.01):
            self.look()

    def look(self) -> None:
        for version in versions(self.root):
            if version not in self.seen:
                self.seen.add(version)
                self.torn += [problem] if (problem := torn(version)) else []

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.look()


RUN_FACTS = ("run_id", "started", "ended", "seconds", "peak_memory_bytes", "host")


def lineage_rows(store: Path) -> dict[str, dict]:
    """What the store at this root says of its artifacts, by asset and cell, without what no two runs share."""
    rows = {}
    for version in versions(store):
        record = json.loads((version / "manifest.json").read_bytes())
        record = {key: value for key, value in record.items() if key not in RUN_FACTS}
        record["metrics"] = {key: value for key, value in record["metrics"].items() if key != "resumed_from_step"}
        if record["asset"] == "recipe_report":  # its files hold times, and its identity follows from them
            markdown = without_times((version / "report.md").read_text(encoding="utf-8"))
            # its fingerprint holds the seconds that it shows
            record |= {"artifact_id": "", "content_digest": "", "fingerprint": "", "reads": "", "report": markdown}
            record["files"] = {name: record["files"][name] for name in ("comparisons.parquet",)}
        rows[f"{record['asset']}/{record['partition']}/v{record['version']}"] = record
    return rows


def without_times(report: str) -> str:
    return re.sub(r"\d[\d.,]*\s(s|min|h)\b", "TIME", report)


def differences(expected: dict[str, dict], found: dict[str, dict]) -> list[str]:
    """Which artifacts and which of their fields differ."""
    lines = [f"{name} is missing" for name in expected if name not in found]
    lines += [f"{name} should not be there" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        for key in expected[name]:
            if expected[name][key] != found[name][key]:
                lines.append(f"{name} {key}: {_short(expected[name][key])} != {_short(found[name][key])}")
    return sorted(lines)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def left_in_staging(store: Path) -> list[str]:
    staging = store / ".staging"
    return sorted(str(p.relative_to(staging)) for p in staging.rglob("*") if p.is_file() and p.name != "lock")


if __name__ == "__main__":
    main()
