"""The farthest rows by bounds against all distances."""

import tracemalloc

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


@pytest.fixture(params=[1, 20])
def few_candidates(request, monkeypatch):
    monkeypatch.setattr(farthest_rows, "_CANDIDATES", request.param)
    monkeypatch.setattr(farthest_rows, "_BLOCK", 64)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("first", [[], [7, 900, 3]])
def test_picks_match_all_distances(pool, weighted, first, few_candidates):
    features = POOLS[pool]
    weights = np.round(np.random.default_rng(1).gamma(2.0, size=1500), 1) if weighted else np.ones(1500)
    farthest = FarthestRows(features, weights, 203)
    for row in first:
        farthest.add(row)
    found = []
    for _ in range(200):
        found.append(farthest.farthest())
        farthest.add(found[-1][0])
    rows, reaches = zip(*found, strict=True)
    assert (list(rows), list(reaches)) == slow(features, weights, 200 + len(first), first)


def test_all_rows_can_be_added(few_candidates):
    farthest = FarthestRows(FEATURES[:100], np.ones(100), 100)
    rows = []
    for _ in range(100):
        rows.append(farthest.farthest()[0])
        farthest.add(rows[-1])
    assert rows == slow(FEATURES[:100], np.ones(100), 100)[0]
    assert sorted(rows) == [*range(100)]


def test_few_distances_are_summed(monkeypatch):
    summed = 0
    einsum = np.einsum

    def counted(sums, rows, *others, **options):
        nonlocal summed
        summed += len(rows)
        return einsum(sums, rows, *others, **options)

    monkeypatch.setattr(farthest_rows, "_CANDIDATES", 20)
    farthest = FarthestRows(FEATURES, np.ones(1500), 100)
    monkeypatch.setattr(farthest_rows.np, "einsum", counted)
    for _ in range(100):
        farthest.add(farthest.farthest()[0])
    assert summed < 0.2 * 100 * 1500


def test_ties_need_little_memory():
    rows = np.eye(512, dtype=np.float32)[np.arange(3000) % 512]
    farthest = FarthestRows(rows, np.ones(3000), 600)
    tracemalloc.start()
    for _ in range(600):
        farthest.add(farthest.farthest()[0])
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
