"""What stays loaded between the steps of one process: the embedder, and on CPUs the vLLM engine with other weights."""

from pathlib import Path

from nomad_assets.recipe.curation.embedding import Embedder
from nomad_assets.recipe.generation.engine import Engine, open_engine
from nomad_assets.recipe.generation.vllm_engine import VllmEngine


class Kept:
    """Held by a Project. `engines` says whether the process goes on to other cells, so that an engine is worth keeping."""

    def __init__(self, engines: bool):
        self.engines = engines
        self._vllm: VllmEngine | None = None
        self._embedder: Embedder | None = None

    def embedder(self, name: str) -> Embedder:
        if self._embedder is not None and self._embedder.name == name:
            return self._embedder
        embedder = Embedder(name)
        self._embedder = embedder if embedder.on_cpu else None  # a GPU's memory is needed by the steps in between
        return embedder

    @property
    def holds_vllm(self) -> bool:
        """Whether there is an engine that has its memory already."""
        return self._vllm is not None

    def open_engine(self, name: str, folder: Path, **options) -> Engine:
        """An engine with the weights in `folder`; give it back with `release`."""
        if self._vllm is not None:
            engine, self._vllm = self._vllm, None
            taken = False
            try:
                taken = name == "vllm" and engine.take_weights(folder, options["max_length"])
            finally:
                if not taken:
                    engine.close()
            if taken:
                return engine
        return open_engine(name, folder, **options)

    def release(self, engine: Engine, whole: bool) -> None:
        """Keep a vLLM engine for the next cell, close any other and, where it is not `whole`, one that failed.

        On a GPU its memory is needed for the training of students.
        """
        if whole and self.engines and isinstance(engine, VllmEngine) and engine.on_cpu and self._vllm is None:
            self._vllm = engine
        else:
            engine.close()

    def close(self) -> None:
        if self._vllm is not None:
            self._vllm.close()
        self._vllm = self._embedder = None
