"""Every implementation of the Store protocol, and what their tests share. A new implementation is one more entry here.

Other processes open the same store with `open_store(name, folder)`.
"""

from collections.abc import Callable
from pathlib import Path

from nomad_assets.cells import Cell
from nomad_assets.store.digests import file_digest
from nomad_assets.store.layout import MANIFEST
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

BACKENDS: dict[str, Callable[[Path], Store]] = {"local": lambda folder: LocalStore(folder / "store")}

ASSET, CELL, OTHER = "teacher_model", Cell(8, "unmasked"), Cell(8, "masked")
FINGERPRINT = "d" * 64
RECORD = {
    "fingerprint": FINGERPRINT, "settings": {"epochs": 3.0}, "code_version": "1", "reads": {"seed_subset/8": "e" * 64},
    "parents": {"seed_subset/8": "seed_subset/8/abc"}, "run_id": "run", "started": 1.5, "ended": 2.5, "rows": 3, "tokens": 40,
    "seconds": 1.0, "seed": 7, "metrics": {"loss": 0.25, "engine": "transformers", "resumed": None}, "libraries": {"torch": "2"},
    "host": {"device": "cpu"},
}  # fmt: skip
WITHDRAWAL = {"time": 1.0, "reason": "", "rows": {"x": {"source": "", "key": ""}}, "artifacts": []}


def open_store(backend: str, folder: Path) -> Store:
    """The store of a backend that a folder stands for; the same one every time."""
    return BACKENDS[backend](folder)


def publish(store: Store, files: dict[str, bytes], cell: Cell = CELL, **record) -> Artifact:
    record = {**RECORD, **record}
    with store.staging(ASSET, cell, record["fingerprint"]) as stage:
        for name, content in files.items():
            (stage.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (stage.folder / name).write_bytes(content)
        return store.publish(stage, ASSET, cell, **record)


def assert_whole(artifact: Artifact) -> None:
    """Every file that the manifest lists is there with its bytes and digest, and nothing else."""
    found = {p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()} - {MANIFEST}
    assert found == set(artifact.manifest.files)
    for name, entry in artifact.manifest.files.items():
        assert ((artifact / name).stat().st_size, file_digest(artifact / name)) == (entry["bytes"], entry["sha256"])


def no_record(artifact: Artifact, folder: Path) -> None:
    """For pruning: lineage needs nothing but the manifest."""
