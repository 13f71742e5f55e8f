"""Lazy facility location against the plain greedy algorithm."""

import numpy as np
import pytest
from all_cosines import cosines_of

from hf_vitselect.rules import FacilityLocation

rng = np.random.default_rng(0)
FEATURES = rng.standard_normal((70, 4)).astype(np.float32)


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
def test_picks_match_plain_greedy_algorithm(neighbors):
    rows, gains = FacilityLocation(neighbors=neighbors)(None, FEATURES, 30, np.random.default_rng(0), {})
    expected, value = slow(FEATURES, min(neighbors, 69), 30)
    assert rows.tolist() == expected
    assert gains.sum() == pytest.approx(value, rel=1e-6)
    assert (np.diff(gains) <= 1e-12).all()


def test_zero_neighbors_raise_an_error():
    with pytest.raises(ValueError, match="neighbors"):
        FacilityLocation(neighbors=0)
