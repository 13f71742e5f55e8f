"""NeighborPenalty(approximate=True): near the exact picks, and the same ones every time."""

import subprocess
import sys

import faiss
import numpy as np
import pytest

from hf_vitselect.rules import NeighborPenalty
from hf_vitselect.rules.neighbors.faiss_index import FaissIndex
from hf_vitselect.rules.neighbors.remaining import RemainingNeighbors, row_norms

ROWS = 3000


@pytest.fixture(autouse=True)
def compressed(monkeypatch):
    """Small pools are coded as large ones are."""
    monkeypatch.setattr("hf_vitselect.rules.neighbors.faiss_index._TRAIN_ROWS", 2048)


@pytest.fixture(scope="module")
def pool():
    """Scores, and rows in clusters in a few of many dimensions, of any length."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((ROWS // 30, 40))[rng.integers(ROWS // 30, size=ROWS)]
    latent += 0.7 * rng.standard_normal(latent.shape)
    features = latent @ rng.standard_normal((40, 64)) * rng.gamma(2.0, size=(ROWS, 1))
    return rng.gamma(2.0, size=ROWS), features.astype(np.float32)


def picks(rule, pool, budget, seed=0):
    return rule(*pool, budget, np.random.default_rng(seed), {})


def test_index_is_compressed(pool):
    index = FaissIndex(pool[1], row_norms(pool[1]), np.random.default_rng(0))
    assert isinstance(index._index, faiss.IndexIVFPQFastScan)


@pytest.mark.parametrize("budget", [450, 1800])
def test_most_picks_agree_with_exact_ones(budget, pool):
    near, exact = (picks(NeighborPenalty(approximate=how), pool, budget)[0] for how in (True, False))
    assert len(np.intersect1d(near, exact)) / budget > 0.9


def test_every_row_can_be_picked(pool):
    rows, gains = picks(NeighborPenalty(approximate=True), pool, ROWS)
    assert np.sort(rows).tolist() == list(range(ROWS))
    assert np.isfinite(gains).all()


def test_cosines_of_candidates_are_exact(pool):
    norms = row_norms(pool[1])
    index = FaissIndex(pool[1], norms, np.random.default_rng(0))
    remaining = RemainingNeighbors(pool[1], norms, index, 10, pops=1)
    near, cosines = remaining.pop(0, np.zeros(ROWS))
    wide = pool[1].astype(np.float64) / norms[:, None]
    np.testing.assert_allclose(cosines, wide[near] @ wide[0], atol=1e-7, rtol=0)
    assert len(near) == 10
    assert 0 not in near


def test_threads_do_not_change_picks(pool):
    before = faiss.omp_get_max_threads()
    results = []
    try:
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            results.append(picks(NeighborPenalty(approximate=True), pool, 300))
            assert faiss.omp_get_max_threads() == threads
    finally:
        faiss.omp_set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_picks_duplicates_and_zero_rows(pool):
    scores, features = pool[0] - 1.5, pool[1][np.arange(ROWS) % 60]
    features[::50] = 0
    rows, gains = picks(NeighborPenalty(approximate=True), (scores, features), 2000)
    assert len(np.unique(rows)) == 2000
    assert np.isfinite(gains).all()


def test_notes_overlap_on_sampled_rows(pool, monkeypatch):
    rule = NeighborPenalty(approximate=True)
    monkeypatch.setattr("hf_vitselect.rules.neighbor_penalty._OVERLAP_ROWS", 2500)
    notes = rule.notes(*pool, 450, np.random.default_rng(0))
    assert notes == rule.notes(*pool, 450, np.random.default_rng(0))
    assert notes["overlap_rows"] == 2500
    assert 0.9 < notes["overlap_with_exact"] <= 1
    assert NeighborPenalty().notes(*pool, 450, np.random.default_rng(0)) == {}


def test_exact_picks_do_not_import_faiss():
    code = """
import sys
import numpy as np
from hf_vitselect.rules import NeighborPenalty
NeighborPenalty()(np.ones(5), np.eye(5, dtype=np.float32), 2, np.random.default_rng(0), {})
sys.exit("faiss" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
