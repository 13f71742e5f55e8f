"""SemDeDup against the definition, in one cluster."""

import numpy as np
import pytest

from hf_vitselect.rules import SemDeDup

rng = np.random.default_rng(0)
BASE = rng.standard_normal((20, 8))
FEATURES = np.concatenate([BASE, BASE[:5] + 0.01 * rng.standard_normal((5, 8))]).astype(np.float32)


def pick(features, budget, **options):
    return SemDeDup(**options)(None, features, budget, np.random.default_rng(0), {})


def test_one_of_each_duplicate_stays():
    rows = set(pick(FEATURES, 20)[0].tolist())
    for row in range(5):
        assert len(rows & {row, 20 + row}) == 1
    assert rows >= set(range(5, 20))


@pytest.mark.parametrize("keep", ["far", "near"])
def test_redundancy_matches_the_definition(keep):
    units = FEATURES.astype(np.float64) / np.linalg.norm(FEATURES.astype(np.float64), axis=1)[:, None]
    center = units.sum(axis=0)
    order = np.argsort(units @ center if keep == "far" else -(units @ center), kind="stable")
    redundancy = {
        row: max([-1.0, *(units[row] @ units[earlier] for earlier in order[:rank])])
        for rank, row in enumerate(order)
    }
    rows, gains = pick(FEATURES, 25, keep=keep)
    np.testing.assert_allclose(gains, [1 - redundancy[row] for row in rows], atol=1e-5)


def test_duplicates_are_found_across_blocks():
    features = rng.standard_normal((2500, 4)).astype(np.float32)
    features[2400] = features[3]
    rows, gains = pick(features, 2500, rows_per_cluster=5000)
    last = {*rows[-1:].tolist()}
    assert last <= {3, 2400}
    assert gains[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("options", [{"rows_per_cluster": 0}, {"keep": "all"}])
def test_invalid_parameters_raise_an_error(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SemDeDup(**options)
