"""Clusters found at once and in two steps, and unit rows read when they are needed."""

import numpy as np
import pytest

from hf_vitselect.rules import clusters
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label, unit_rows

FEATURES = np.random.default_rng(0).standard_normal((3000, 12)).astype(np.float32)
UNITS = unit_rows(FEATURES)


def tightness(labels, centroids):
    return float(np.einsum("nd,nd->n", UNITS, centroids[labels]).mean())


def test_two_steps_find_all_clusters():
    labels, centroids = kmeans(UNITS, 200, np.random.default_rng(0))
    assert centroids.shape == (200, 12)
    assert labels.min() == 0
    assert labels.max() == 199
    sizes = [len(rows) for rows in rows_by_label(labels)]
    assert sum(sizes) == 3000
    assert np.median(sizes) == pytest.approx(15, abs=4)


def test_two_steps_are_nearly_as_tight(monkeypatch):
    two_steps = tightness(*kmeans(UNITS, 200, np.random.default_rng(0)))
    few = tightness(*kmeans(UNITS, 64, np.random.default_rng(0)))
    monkeypatch.setattr(clusters, "_MOST_AT_ONCE", 200)
    at_once = tightness(*kmeans(UNITS, 200, np.random.default_rng(0)))
    assert at_once - two_steps < 0.3 * (at_once - few)


def test_equal_seeds_give_equal_clusters():
    one, other = (kmeans(UNITS, 100, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_most_clusters_are_one_a_row():
    labels, centroids = kmeans(UNITS[:70], 500, np.random.default_rng(0))
    assert len(centroids) == 70
    assert np.bincount(labels, minlength=70).sum() == 70


@pytest.mark.parametrize("count", [10, 100])
def test_rows_on_disk_cluster_alike(count, tmp_path):
    np.save(tmp_path / "features.npy", FEATURES)
    on_disk = UnitRows(np.load(tmp_path / "features.npy", mmap_mode="r"))
    one, other = (kmeans(units, count, np.random.default_rng(0)) for units in (UNITS, on_disk))
    assert np.array_equal(one[0], other[0])


def test_large_pools_train_on_a_sample(monkeypatch):
    at_once = tightness(*kmeans(UNITS, 30, np.random.default_rng(0)))
    monkeypatch.setattr(clusters, "_MOST_IN_MEMORY", 1000)
    labels, centroids = kmeans(UnitRows(FEATURES), 30, np.random.default_rng(0))
    assert tightness(labels, centroids) == pytest.approx(at_once, abs=0.02)
    assert np.array_equal(labels, (UNITS @ centroids.T).argmax(axis=1))
