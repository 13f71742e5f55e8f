"""Approximate nearest rows: those in the clusters around."""

import numpy as np
import pytest
from all_cosines import cosines_of

from hf_vitselect.rules.neighbors import cluster_index
from hf_vitselect.rules.neighbors.cluster_index import ClusterIndex

rng = np.random.default_rng(0)
CENTERS = rng.standard_normal((30, 16))
FEATURES = (3 * CENTERS[rng.integers(30, size=1500)] + rng.standard_normal((1500, 16))).astype(np.float32)


@pytest.fixture
def index(monkeypatch):
    monkeypatch.setattr(cluster_index, "_ROWS_PER_CLUSTER", 25)
    monkeypatch.setattr(cluster_index, "_CANDIDATES", 200)
    return ClusterIndex(FEATURES, np.random.default_rng(0))


def test_every_row_has_neighbors_in_order(index):
    cosines, seen = cosines_of(FEATURES), []
    for cluster in range(index.clusters):
        found = index.nearest(cluster, 10)
        seen += found.rows.tolist()
        assert found.near.shape == found.products.shape == (len(found.rows), 10)
        assert (np.diff(found.products, axis=1) <= 0).all()
        assert (found.near != found.rows[:, None]).all()
        assert all(len(set(near)) == 10 for near in found.near.tolist())
        assert found.products == pytest.approx(cosines[found.rows[:, None], found.near], abs=0.01)
    assert sorted(seen) == list(range(1500))


def test_recall_is_that_of_all_rows(index):
    cosines = cosines_of(FEATURES)
    np.fill_diagonal(cosines, -np.inf)
    true = np.argsort(-cosines, axis=1)[:, :10]
    hits = [
        len(np.intersect1d(true[row], near))
        for cluster in range(index.clusters)
        for row, near in zip(*index.nearest(cluster, 10)[:2], strict=True)
    ]
    recall = sum(hits) / 15_000
    assert 0.5 < recall < 1
    assert index.recall(10, np.random.default_rng(1)) == pytest.approx(recall, abs=0.06)


def test_small_pools_lose_neighbors_by_rounding():
    index = ClusterIndex(FEATURES, np.random.default_rng(0))
    assert 0.9 < index.recall(10, np.random.default_rng(1)) <= 1
