"""Quotas: exact shares of a budget, by hand and in general."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitselect.rules.quotas import quotas


@pytest.mark.parametrize(
    ("sizes", "weights", "budget", "expected"),
    [
        ([10, 10, 10], [1, 1, 1], 10, [4, 3, 3]),  # the first of equal remainders
        ([50, 30, 20], [50, 30, 20], 10, [5, 3, 2]),
        ([2, 10, 10], [1, 1, 1], 12, [2, 5, 5]),  # the first has only two of its four
        ([1, 2, 30], [1, 1, 1], 20, [1, 2, 17]),  # twice
        ([0, 5, 1], [1, 1, 1], 4, [0, 3, 1]),
        ([3, 3], [1, 1e-9], 6, [3, 3]),
        ([7, 7], [3, 1], 1, [1, 0]),
    ],
)
def test_quotas_match_hand_computed_ones(sizes, weights, budget, expected):
    assert quotas(np.array(sizes), np.array(weights, dtype=float), budget).tolist() == expected


def test_overfull_groups_keep_their_rows():
    given = np.array([8, 0, 1])
    assert quotas(np.array([10, 10, 10]), np.ones(3), 12, given).tolist() == [8, 2, 2]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_quotas_add_up_and_fit(data):
    sizes = np.array(data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=12)))
    if sizes.sum() == 0:
        sizes[0] = 1
    positive = st.floats(1e-3, 1e3)
    weights = np.array(data.draw(st.lists(positive, min_size=len(sizes), max_size=len(sizes))))
    budget = data.draw(st.integers(1, int(sizes.sum())))
    given = np.array([data.draw(st.integers(0, size)) for size in sizes.tolist()])
    budget = max(budget, int(given.sum()))
    share = quotas(sizes, weights, budget, given)
    assert share.sum() == budget
    assert (share <= sizes).all()
    assert (share >= given).all()
    # One level serves all: nobody who could have more lies a whole row below anybody who could have less.
    more, less = share < sizes, share > given
    if more.any() and less.any():
        assert ((share + 1) / weights)[more].min() >= ((share - 1) / weights)[less].max() * (1 - 1e-9)
