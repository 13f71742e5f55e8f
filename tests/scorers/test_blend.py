"""Blends by hand."""

import json

import numpy as np
import pytest
from datasets import Dataset

from hf_vitselect import Blend
from hf_vitselect.errors import ColumnError

POOL = Dataset.from_dict({"a": [1.0, 2.0, 2.0, 10.0, None], "b": [4.0, 3.0, 2.0, 1.0, 5.0]})


def blended(blend, pool=POOL):
    return pool.map(blend, batched=True)["blend"][:]


def test_ranks_count_ties_half():
    # Ranks of a: 1/8, 4/8, 4/8, 7/8 (ties by half); of b among five: 7/10, 5/10, 3/10, 1/10, 9/10.
    found = blended(Blend.fit(POOL, {"a": 1.0, "b": -0.5}))
    expected = [0.125 - 0.35, 0.5 - 0.25, 0.5 - 0.15, 0.875 - 0.05]
    np.testing.assert_allclose(found[:4], expected, rtol=1e-6)
    assert found[4] is None


def test_standard_scores_are_centered():
    a = np.array([1.0, 2.0, 2.0, 10.0])
    found = blended(Blend.fit(POOL, {"a": 2.0}, normalize="z"))
    np.testing.assert_allclose(found[:4], 2 * (a - a.mean()) / a.std(), rtol=1e-6)


def test_a_product_is_of_powers():
    found = blended(Blend.fit(POOL, {"a": 1.0, "b": 2.0}, normalize=None, product=True))
    np.testing.assert_allclose(found[:4], [16.0, 18.0, 8.0, 10.0])


def test_rows_take_missing_scores_status():
    pool = POOL.add_column("a_status", ["ok", "ok", "ok", "ok", "image_error"])
    assert pool.map(Blend.fit(pool, {"b": 1, "a": 1}), batched=True)["blend_status"][4] == "image_error"


def test_single_rows_blend_alike():
    blend = Blend.fit(POOL, {"a": 1.0, "b": -0.5})
    assert POOL.map(blend)["blend"][:] == blended(blend)
    assert json.loads(json.dumps(blend.recipe()))["scales"]["a"]["rows"] == 4


@pytest.mark.parametrize(
    ("weights", "options", "error"),
    [({}, {}, ValueError), ({"c": 1}, {}, ColumnError), ({"a": 1}, {"normalize": "max"}, ValueError)],
)
def test_unblendable_columns_are_errors(weights, options, error):
    with pytest.raises(error, match="expected"):
        Blend.fit(POOL, weights, **options)
