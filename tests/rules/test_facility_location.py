"""Lazy facility location against the plain greedy algorithm."""

import numpy as np
import pytest

from hf_vitselect.rules import FacilityLocation
from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows

rng = np.random.default_rng(0)
FEATURES = rng.standard_normal((70, 4)).astype(np.float32)


def cosines_of(features):
    exact = features.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    lengths[lengths == 0] = np.inf
    return (exact @ exact.T / np.outer(lengths, lengths)).astype(np.float32)


def slow(features, neighbors, budget):
    cosines = cosines_of(features)
    np.fill_diagonal(cosines, np.inf)
    graph = np.zeros_like(cosines, dtype=np.float64)
    for i in range(len(features)):
        near = np.lexsort((np.arange(len(features)), -cosines[i]))[: neighbors + 1]
        graph[i, near] = np.minimum(np.maximum(cosines[i, near], 0), 1)
    best, picks = np.zeros(len(features)), []
    for _ in range(budget):
        growth = np.maximum(graph - best[:, None], 0).sum(axis=0)
        growth[picks] = -1
        picks.append(int(growth.argmax()))
        best = np.maximum(best, graph[:, picks[-1]])
    return picks, best.sum()


@pytest.mark.parametrize("neighbors", [3, 12, 100])
def test_picks_are_those_of_the_plain_algorithm(neighbors):
    rows, gains = FacilityLocation(neighbors=neighbors)(None, FEATURES, 30, np.random.default_rng(0), {})
    expected, value = slow(FEATURES, min(neighbors, 69), 30)
    assert rows.tolist() == expected
    assert gains.sum() == pytest.approx(value, rel=1e-6)
    assert (np.diff(gains) <= 1e-12).all()


@pytest.mark.parametrize("features", [FEATURES, np.round(FEATURES), FEATURES[rng.integers(0, 9, 70)]])
def test_nearest_rows_are_those_of_all_cosines(features):
    cosines = cosines_of(features)
    np.fill_diagonal(cosines, -np.inf)
    order = np.array([np.lexsort((np.arange(70), -row))[:10] for row in cosines])
    near, close = nearest_rows(features, 10)
    np.testing.assert_allclose(close, np.take_along_axis(cosines, order, axis=1), atol=1e-6)
    np.testing.assert_array_equal(np.sort(close, axis=1)[:, ::-1], close)
    same = near == order
    assert same.mean() > 0.9  # others tie but for the last bit


def test_no_neighbour_is_an_error():
    with pytest.raises(ValueError, match="neighbors"):
        FacilityLocation(neighbors=0)
