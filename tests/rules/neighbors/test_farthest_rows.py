"""The farthest rows by bounds against all distances."""

import numpy as np
import pytest

from hf_vitselect.rules.clusters import unit_rows
from hf_vitselect.rules.neighbors import farthest_rows
from hf_vitselect.rules.neighbors.farthest_rows import FarthestRows

rng = np.random.default_rng(0)
CENTERS = rng.standard_normal((25, 16))
FEATURES = (CENTERS[rng.integers(25, size=1500)] + rng.standard_normal((1500, 16))).astype(np.float32)
POOLS = {
    "clusters": FEATURES,
    "copies": FEATURES[rng.integers(200, size=1500)],
    "zero rows": FEATURES * (np.arange(1500) % 7 > 0)[:, None].astype(np.float32),
    "grid": np.round(rng.standard_normal((1500, 2))).astype(np.float32),
}


def slow(features, weights, adds, first=()):
    units = unit_rows(features)
    nearest, rows, reaches = np.full(len(units), 2.0), [], []
    reach = nearest * weights
    for turn in range(adds):
        row = first[turn] if turn < len(first) else int(reach.argmax())
        rows.append(row)
        reaches.append(reach[row])
        cosines = np.einsum("nd,d->n", units, units[row])
        np.minimum(nearest, np.sqrt(np.maximum(2 - 2 * cosines, 0)), out=nearest)
        np.multiply(nearest, weights, out=reach, where=reach >= 0)
        reach[row] = -1.0
    return rows[len(first) :], reaches[len(first) :]


@pytest.fixture
def small_clusters(monkeypatch):
    monkeypatch.setattr(farthest_rows, "_ONE_CLUSTER", 100)
    monkeypatch.setattr(farthest_rows, "_ROWS_PER_CLUSTER", 30)
    monkeypatch.setattr(farthest_rows, "_NEAR_ROWS", 60)
    monkeypatch.setattr(farthest_rows, "_FIRST_ADDED", 4)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("first", [[], [7, 900, 3]])
def test_picks_match_all_distances(pool, weighted, first, small_clusters):
    features = POOLS[pool]
    weights = np.round(np.random.default_rng(1).gamma(2.0, size=1500), 1) if weighted else np.ones(1500)
    farthest = FarthestRows(features, weights, 203, np.random.default_rng(0))
    for row in first:
        farthest.add(row)
    found = []
    for _ in range(200):
        found.append(farthest.farthest())
        farthest.add(found[-1][0])
    rows, reaches = zip(*found, strict=True)
    assert (list(rows), list(reaches)) == slow(features, weights, 200 + len(first), first)


def test_most_rows_are_not_compared(small_clusters, monkeypatch):
    compared = 0
    einsum = np.einsum

    def counted(sums, rows, *others, **options):
        nonlocal compared
        compared += len(rows)
        return einsum(sums, rows, *others, **options)

    farthest = FarthestRows(FEATURES, np.ones(1500), 100, np.random.default_rng(0))
    monkeypatch.setattr(farthest_rows.np, "einsum", counted)
    for _ in range(100):
        farthest.add(farthest.farthest()[0])
    assert compared < 0.2 * 100 * 1500


def test_misleading_clusters_change_no_pick(small_clusters, monkeypatch):
    def shuffled(units, clusters, rng, **_):
        centroids = unit_rows(rng.standard_normal((clusters, 16)).astype(np.float32))
        return rng.integers(clusters, size=len(units)), centroids

    monkeypatch.setattr(farthest_rows, "kmeans", shuffled)
    farthest = FarthestRows(FEATURES, np.ones(1500), 1000, np.random.default_rng(0))
    found = []
    for _ in range(1000):
        found.append(farthest.farthest())
        farthest.add(found[-1][0])
    rows, reaches = zip(*found, strict=True)
    assert (list(rows), list(reaches)) == slow(FEATURES, np.ones(1500), 1000)
