"""Random rows with the lengths of a selection."""

import numpy as np
import pytest

from hf_vitselect.rules import LengthMatchedRandom

rng = np.random.default_rng(0)
LENGTHS = rng.integers(1, 30, 400).astype(np.float64)
LONG = np.argsort(-LENGTHS, kind="stable")[:50]


def drawn(budget, lengths=LENGTHS, rows=LONG, seed=0):
    columns = {"selected": np.isin(np.arange(len(lengths)), rows), "response_tokens": lengths}
    return LengthMatchedRandom()(None, None, budget, np.random.default_rng(seed), columns)[0]


def test_same_budget_gives_same_lengths():
    marked = np.random.default_rng(1).choice(400, 60, replace=False)
    picked = drawn(60, rows=marked)
    assert sorted(LENGTHS[picked]) == sorted(LENGTHS[marked])
    assert len(np.intersect1d(picked, marked)) < 30


@pytest.mark.parametrize("budget", [10, 25, 100])
def test_other_budgets_keep_the_distribution(budget):
    marked = np.random.default_rng(1).choice(400, 50, replace=False)
    quantiles = np.linspace(0.1, 0.9, 5)
    picked = np.quantile(LENGTHS[drawn(budget, rows=marked)], quantiles)
    np.testing.assert_allclose(picked, np.quantile(LENGTHS[marked], quantiles), atol=3)


def test_nearest_length_fills_a_gap():
    lengths = np.array([9.0, 9.0, 8.0, 3.0, 1.0])
    assert sorted(lengths[drawn(3, lengths, rows=[0])]) == [8, 9, 9]


def test_rows_without_length_come_last():
    lengths = np.array([np.nan, 5.0, np.nan, 1.0, 2.0])
    assert set(drawn(3, lengths, rows=[1])) == {1, 3, 4}


def test_equal_lengths_are_equally_likely():
    lengths = np.repeat([2.0, 5.0], 20)
    counts = np.bincount(
        np.concatenate([drawn(10, lengths, rows=np.arange(10, 30), seed=seed) for seed in range(400)])
    )
    assert counts.min() > 60
    assert counts.max() < 145


def test_null_marks_count_as_false():
    columns = {"selected": np.array([1, np.nan, 0, 0]), "response_tokens": np.array([2, 9, 2, 9])}
    picked = LengthMatchedRandom()(None, None, 2, np.random.default_rng(0), columns)[0]
    assert sorted(picked) == [0, 2]


@pytest.mark.parametrize("name", ["selected", "response_tokens"])
def test_text_columns_raise_an_error(name):
    columns = {"selected": np.array([1, 0]), "response_tokens": np.array([2, 9])}
    columns[name] = np.array(["no", "0"], dtype=object)
    with pytest.raises(ValueError, match=f"expected numbers in '{name}', got str"):
        LengthMatchedRandom()(None, None, 1, np.random.default_rng(0), columns)


def test_no_marked_rows_raise_an_error():
    with pytest.raises(ValueError, match="expected rows to resemble, got none in 'selected'"):
        drawn(3, rows=[])
