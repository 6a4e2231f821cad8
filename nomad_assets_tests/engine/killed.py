"""A toy world that is killed right before every file operation, one after the other, and then goes on.

    python -m nomad_assets_tests.engine.killed FOLDER     prints one JSON object: operations, problems

Each attempt is a fork of this process, so that the imports are paid for once. The fork kills itself with SIGKILL before its
N-th operation that changes the store: making, writing, renaming, linking or removing a file or a folder. What libraries
written in Rust and C do on their own is not seen. Then the parent, which never touches polars, looks at what readers see,
and another fork goes on from the act that was interrupted to the end.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nomad_assets.cells import Cell
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import Style, ToyGrid, make

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
SIZE, CELL = Cell(2), Cell(2, "high")
PLACES = {"words": Cell(), "sample": SIZE, "loud": CELL}
WITHDRAWAL = {"time": 1.0, "reason": "asked for", "rows": {"bee": {}}, "artifacts": []}


def make_everything(store: LocalStore) -> None:
    for name, cell in PLACES.items():
        make(store, name, cell)


def make_again_with_other_settings(store: LocalStore) -> None:
    make(store, "loud", CELL, grid=OTHER)


def withdraw_a_word(store: LocalStore) -> None:
    if not store.withdrawals():
        with store.withdrawing():
            store.withdraw(WITHDRAWAL)


def make_again_without_it(store: LocalStore) -> None:
    for name, cell in PLACES.items():
        make(store, name, cell, grid=OTHER)


def agree(store: LocalStore) -> None:
    store.agreed("how", lambda: "like this")


def remove_what_is_superseded(store: LocalStore) -> None:
    store.remove_superseded(1, lambda artifact, folder: (folder / "rows.txt").write_text("kept"), dry_run=False)
    store.remove_stages(set(), dry_run=False)


OTHER = replace(ToyGrid(), style=Style(mark="?"))
ACTS: list[Callable[[LocalStore], None]] = [
    make_everything, make_again_with_other_settings, withdraw_a_word, make_again_without_it, agree, remove_what_is_superseded,
]  # fmt: skip


def in_a_fork(folder: Path, first: int, nth: int) -> tuple[int, int, str]:
    """(exit status, the act it was in, the operation it was killed at or the number of operations) of a fork that plays the
    acts from `first` on and kills itself before its `nth` operation; 0 for never."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _play(folder, first, nth, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        lines = said.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    acts = [line for line in lines if line.startswith("act ")]
    return status, int(acts[-1][4:]), lines[-1]


def _play(folder: Path, first: int, nth: int, writer: int) -> None:
    seen, root = 0, str(folder)

    def count(event: str, values: tuple) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event not in CHANGES and not writes:
            return
        target = values[1] if event in ("os.rename", "os.link") else values[0]
        if not isinstance(target, str | bytes | os.PathLike) or not os.path.abspath(os.fsdecode(target)).startswith(
            root
        ):
            return
        seen += 1
        if seen == nth:
            os.write(writer, f"{event} {os.path.relpath(os.fsdecode(target), root)}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    store = LocalStore(folder)
    for number, act in enumerate(ACTS):
        if number >= first:
            os.write(writer, f"act {number}\n".encode())
            act(store)
    os.write(writer, f"{seen}\n".encode())
    os._exit(0)


def visible(folder: Path) -> list[str]:
    """What is wrong with the versions that readers can see: every file of a manifest is there, whole, and no other."""
    wrong = []
    for version in sorted(p for p in folder.rglob("v0*") if p.relative_to(folder).parts[0][0] != "."):
        try:
            files = json.loads((version / "manifest.json").read_bytes())["files"]
        except (OSError, ValueError, KeyError) as error:
            wrong.append(f"{version.relative_to(folder)}: {error!r}")
            continue
        found = {p.relative_to(version).as_posix(): p for p in version.rglob("*") if p.is_file()}
        if found.keys() != {*files, "manifest.json"}:
            wrong.append(f"{version.relative_to(folder)}: holds {sorted(found)}")
        wrong += [
            f"{version.relative_to(folder)}/{name}: not the bytes of its manifest"
            for name, entry in files.items()
            if name in found and hashlib.sha256(found[name].read_bytes()).hexdigest() != entry["sha256"]
        ]
    return wrong


def contents(folder: Path) -> dict[str, str]:
    """Everything that is stored in the end, without what no two runs share."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name == "manifest.json":
            record = json.loads(path.read_bytes())
            shared = ("artifact_id", "fingerprint", "content_digest", "reads", "parents", "version", "files")
            found[name] = json.dumps({key: record[key] for key in shared}, sort_keys=True)
        elif path.name not in ("lock", ".withdrawn.lock"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main(base: Path) -> dict:
    """Kill at every operation; the number of operations, where each was, and every problem."""
    base.mkdir(parents=True, exist_ok=True)
    status, _, said = in_a_fork(base / "whole", 0, 0)
    if status != 0:
        return {"operations": 0, "places": [], "problems": [f"the whole play ended with {status}: {said}"]}
    operations, expected = int(said), contents(base / "whole")
    places, problems = [], []
    for nth in range(1, operations + 1):
        folder = base / f"killed-{nth}"
        status, act, said = in_a_fork(folder, 0, nth)
        places.append(said)
        if status != -signal.SIGKILL:
            problems.append(f"operation {nth}: not killed, but {status}")
        problems += [f"killed at {said}: {wrong}" for wrong in visible(folder)]
        status, _, end = in_a_fork(folder, act, 0)
        if status != 0:
            problems.append(f"killed at {said}: could not go on: {status} {end}")
        found = contents(folder)
        differing = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        if differing:
            problems.append(f"killed at {said}: in the end these differ: {', '.join(differing)}")
        shutil.rmtree(folder)
    return {"operations": operations, "places": places, "problems": problems}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).resolve())))
