"""Exact nearest rows against all cosines."""

import numpy as np
import pytest
from all_cosines import cosines_of

from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows
from hf_vitselect.rules.neighbors.remaining import cosines_with, row_norms

rng = np.random.default_rng(0)
FEATURES = rng.standard_normal((70, 4)).astype(np.float32)


@pytest.mark.parametrize("features", [FEATURES, np.round(FEATURES), FEATURES[rng.integers(0, 9, 70)]])
def test_nearest_rows_match_all_cosines(features):
    cosines = cosines_of(features)
    np.fill_diagonal(cosines, -np.inf)
    order = np.array([np.lexsort((np.arange(70), -row))[:10] for row in cosines])
    near, close = nearest_rows(features, 10)
    np.testing.assert_allclose(close, np.take_along_axis(cosines, order, axis=1), atol=1e-6)
    np.testing.assert_array_equal(np.sort(close, axis=1)[:, ::-1], close)
    same = near == order
    assert same.mean() > 0.9  # the others tie up to the last bit


@pytest.mark.parametrize("scale", [1, 1e-30, 1e30])
def test_near_ties_are_told_apart(scale, monkeypatch):
    monkeypatch.setattr("hf_vitselect.rules.neighbors.nearest_rows.CHUNK_VALUES", 5 * 48)
    base = rng.standard_normal((40, 48))
    noise = 1 + 1e-7 * rng.standard_normal((400, 48))  # cosines that float32 products cannot order
    lengths = rng.uniform(1, 3, (400, 1))
    features = (scale * lengths * noise * base[rng.integers(0, 40, 400)]).astype(np.float32)
    features[7] = 0
    near, close = nearest_rows(features, 12)
    norms, rows = row_norms(features), np.arange(400)
    for row in rows:
        others = np.delete(rows, row)
        cosines = cosines_with(features, norms, row, others)
        order = np.lexsort((others, -cosines))[:12]
        np.testing.assert_array_equal(near[row], others[order])
        np.testing.assert_array_equal(close[row], cosines[order])
