"""Distances to the centroid of the own cluster."""

import numpy as np
import pytest

from hf_vitselect.rules import Prototypicality

# Two directions; in each, rows turned away from it by these degrees on both sides.
DEGREES = np.array([0, 10, -10, 30, -30, 90, 95, 85, 92, 88])
FEATURES = np.stack([np.cos(np.radians(DEGREES)), np.sin(np.radians(DEGREES))], axis=1).astype(np.float32)


def test_picks_match_hand_computed_distances():
    # The centroids are at 0 and 90 degrees, since the turns cancel out.
    rows, gains = Prototypicality(clusters=2)(None, FEATURES, 4, np.random.default_rng(0), {})
    assert set(rows[:2].tolist()) == {3, 4}
    np.testing.assert_allclose(gains[:2], 1 - np.cos(np.radians(30)), atol=1e-6)
    assert set(rows[2:].tolist()) == {1, 2}
    nearest = Prototypicality(clusters=2, nearest=True)(None, FEATURES, 2, np.random.default_rng(0), {})[0]
    assert set(nearest.tolist()) == {0, 5}


def test_row_lengths_do_not_matter():
    one, other = (
        Prototypicality(clusters=2)(None, features, 10, np.random.default_rng(0), {})[1]
        for features in (FEATURES, FEATURES * np.arange(1, 11, dtype=np.float32)[:, None])
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_zero_clusters_raise_an_error():
    with pytest.raises(ValueError, match="clusters"):
        Prototypicality(clusters=0)
