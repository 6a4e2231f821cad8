"""What stays loaded between the steps of one process: the embedder, and on CPUs the vLLM engine with other weights."""

from pathlib import Path

from nomad_assets.recipe.curation.embedding import Embedder
from nomad_assets.recipe.generation import engine as engines
from nomad_assets.recipe.generation.engine import Engine


class _Warm:
    keep_engines = False
    vllm: Engine | None = None
    embedder: Embedder | None = None


_warm = _Warm()


def keep_engines(keep: bool = True) -> None:
    """Say whether this process goes on to other cells, so that an engine is worth keeping."""
    _warm.keep_engines = keep


def embedder(name: str) -> Embedder:
    """The embedder of that name, loaded once."""
    if _warm.embedder is not None and _warm.embedder.name == name:
        return _warm.embedder
    found = Embedder(name)
    _warm.embedder = found if found.on_cpu else None  # a GPU's memory is needed by the steps in between
    return found


def holds_vllm() -> bool:
    """Whether there is an engine that has its memory already."""
    return _warm.vllm is not None


def open_engine(name: str, folder: Path, **options) -> Engine:
    """An engine with the weights in `folder`; give it back with `release`."""
    if _warm.vllm is not None:
        engine, _warm.vllm = _warm.vllm, None
        taken = False
        try:
            taken = name == "vllm" and engine.take_weights(folder, options["max_length"])
        finally:
            if not taken:
                engine.close()
        if taken:
            return engine
    return engines.open_engine(name, folder, **options)


def release(engine: Engine, whole: bool) -> None:
    """Keep a vLLM engine for the next cell, close any other and, where it is not `whole`, one that failed.

    On a GPU its memory is needed for the training of students.
    """
    worth = engine.name == "vllm" and whole and _warm.keep_engines
    if worth and engine.on_cpu and _warm.vllm is None:
        _warm.vllm = engine
    else:
        engine.close()


def close() -> None:
    """Let go of everything."""
    if _warm.vllm is not None:
        _warm.vllm.close()
    _warm.vllm = _warm.embedder = None
    _warm.keep_engines = False
