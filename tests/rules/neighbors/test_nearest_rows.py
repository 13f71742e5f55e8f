"""Exact nearest rows against all cosines."""

import numpy as np
import pytest
from all_cosines import cosines_of

from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows

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
