"""Lazy facility location against the plain greedy algorithm."""

from dataclasses import replace

import numpy as np
import pytest
from all_cosines import cosines_of

from hf_vitselect.rules import FacilityLocation, facility_location

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


def test_approximate_picks_are_nearly_as_good():
    features = np.random.default_rng(1).standard_normal((2000, 8)).astype(np.float32)
    exact, near = (
        FacilityLocation(neighbors=20, approximate=how)(None, features, 40, np.random.default_rng(0), {})
        for how in (False, True)
    )
    assert near[1].sum() == pytest.approx(exact[1].sum(), rel=0.01)


def test_recipe_holds_the_recall(monkeypatch):
    rule = FacilityLocation(neighbors=12)
    assert rule.notes(None, FEATURES, 5, np.random.default_rng(0)) == {}
    monkeypatch.setattr(facility_location, "_MOST_EXACT", 60)
    notes = rule.notes(None, FEATURES, 5, np.random.default_rng(0))
    assert notes["recall"] > 0.95
    assert notes["faiss"] == "CPU"
    assert replace(rule, approximate=False).notes(None, FEATURES, 5, np.random.default_rng(0)) == {}
