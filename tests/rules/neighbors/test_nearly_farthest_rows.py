"""Rows nearly the farthest: which distances are exact, and that none is too small."""

import numpy as np
import pytest

from hf_vitselect.rules.clusters import unit_rows
from hf_vitselect.rules.neighbors import nearly_farthest_rows
from hf_vitselect.rules.neighbors.farthest_rows import FarthestRows
from hf_vitselect.rules.neighbors.nearly_farthest_rows import NearlyFarthestRows

ROWS = np.random.default_rng(0).standard_normal((1500, 16)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).gamma(2.0, size=1500)


def add_all(farthest, adds):
    picks = []
    for _ in range(adds):
        picks.append(farthest.farthest())
        farthest.add(picks[-1][0])
    return picks


@pytest.fixture
def small_clusters(monkeypatch):
    monkeypatch.setattr(nearly_farthest_rows, "_ROWS_PER_CLUSTER", 30)
    monkeypatch.setattr(nearly_farthest_rows, "_NEAR_ROWS", 60)
    monkeypatch.setattr(nearly_farthest_rows, "_FIRST_ADDED", 10)


def test_first_rows_are_the_farthest(small_clusters):
    nearly = add_all(NearlyFarthestRows(ROWS, WEIGHTS, np.random.default_rng(0)), 11)
    assert nearly == add_all(FarthestRows(ROWS, WEIGHTS, 11), 11)


def test_few_rows_are_all_compared():
    nearly = add_all(NearlyFarthestRows(ROWS, WEIGHTS, np.random.default_rng(0)), 200)
    assert nearly == add_all(FarthestRows(ROWS, WEIGHTS, 200), 200)


@pytest.mark.parametrize("misleading", [False, True])
def test_no_distance_is_too_small(small_clusters, monkeypatch, misleading):
    def shuffled(units, clusters, rng, **_):
        centroids = unit_rows(rng.standard_normal((clusters, 16)).astype(np.float32))
        return rng.integers(clusters, size=len(units)), centroids

    if misleading:
        monkeypatch.setattr(nearly_farthest_rows, "kmeans", shuffled)
    picks, distances = zip(
        *add_all(NearlyFarthestRows(ROWS, np.ones(1500), np.random.default_rng(0)), 300), strict=True
    )
    assert len(set(picks)) == 300
    units = unit_rows(ROWS[list(picks)])
    for turn in range(1, 300):
        true = np.sqrt(max(0, 2 - 2 * (units[:turn] @ units[turn]).max()))
        assert distances[turn] >= true - 1e-6
