"""Leverage scores against numpy's singular value decomposition."""

import numpy as np
import pytest

from hf_vitselect.rules import Leverage

rng = np.random.default_rng(0)
FEATURES = (rng.standard_normal((80, 6)) * [5, 3, 1, 0.5, 0.2, 0.1] + 7).astype(np.float32)


@pytest.mark.parametrize("energy", [0.5, 0.9, 1.0])
def test_picks_match_the_svd(energy):
    centered = FEATURES.astype(np.float64) - FEATURES.astype(np.float64).mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(values**2) / (values**2).sum(), energy - 1e-12)) + 1
    leverage = (left[:, :kept] ** 2).sum(axis=1)
    rows, gains = Leverage(energy=energy)(None, FEATURES, 80, np.random.default_rng(0), {})
    np.testing.assert_allclose(gains, leverage[rows], rtol=1e-5)
    assert (np.diff(gains) <= 0).all()


def test_equal_rows_tie():
    rows, gains = Leverage()(None, np.ones((5, 3), np.float32), 5, np.random.default_rng(0), {})
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(gains).all()


@pytest.mark.parametrize("energy", [0.0, 1.1, float("nan")])
def test_invalid_energy_raises_an_error(energy):
    with pytest.raises(ValueError, match="energy"):
        Leverage(energy=energy)
