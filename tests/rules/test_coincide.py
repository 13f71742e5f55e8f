"""COINCIDE: shares of two clusters by hand, and the least discrepancy inside."""

from itertools import combinations

import numpy as np
import pytest

from hf_vitselect.rules import Coincide
from hf_vitselect.rules.coincide import _kernel_sums, _least_discrepancy

rng = np.random.default_rng(0)


def around(axis, rows, spread):
    features = np.zeros((rows, 5))
    features[:, [axis, 4]] = 1  # the last is common to all clusters, so that they are alike at all
    return (features + spread * rng.standard_normal((rows, 5))).astype(np.float32)


def discrepancy(units, picks):
    kernel = np.exp(2 * units @ units.T - 2)
    return kernel[np.ix_(picks, picks)].mean() - 2 * kernel[picks].mean() + kernel.mean()


def test_dense_clusters_give_fewer_rows():
    features = np.concatenate([around(0, 50, 0.01), around(1, 50, 0.2)])
    rows, _ = Coincide(rows_per_cluster=50)(None, features, 40, np.random.default_rng(1), {})
    dense = int((rows < 50).sum())
    assert 0 < dense < 20


def test_each_pick_lowers_discrepancy_most():
    units = around(0, 12, 0.5).astype(np.float64)
    units /= np.linalg.norm(units, axis=1)[:, None]
    picks = _least_discrepancy(units, _kernel_sums(units), 4, np.empty(0, np.int64)).tolist()
    for count in range(1, 5):
        others = [row for row in range(12) if row not in picks[: count - 1]]
        best = min(others, key=lambda row: discrepancy(units, [*picks[: count - 1], row]))
        assert picks[count - 1] == best


def test_greedy_picks_are_near_optimal():
    units = around(0, 10, 0.5).astype(np.float64)
    units /= np.linalg.norm(units, axis=1)[:, None]
    picks = _least_discrepancy(units, _kernel_sums(units), 3, np.empty(0, np.int64))
    every = sorted(discrepancy(units, list(some)) for some in combinations(range(10), 3))
    assert discrepancy(units, picks) <= every[len(every) // 4]


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"rows_per_cluster": 0}])
def test_invalid_parameters_raise_an_error(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Coincide(**options)
