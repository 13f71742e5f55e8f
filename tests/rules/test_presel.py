"""PreSel: task shares by hand, typical rows inside."""

import numpy as np
import pytest

from hf_vitselect.rules import PreSel

TASKS = np.array(["a"] * 60 + ["b"] * 40)
GAIN = np.where(TASKS == "a", 2.0, 1.0)  # IRS 0.5 and 1.0
rng = np.random.default_rng(0)
FEATURES = rng.standard_normal((100, 6)).astype(np.float32)


def pick(scores, features, budget, **options):
    columns = {"task": TASKS}
    return PreSel(**options)(scores, features, budget, np.random.default_rng(0), columns)


def test_task_quotas_follow_instruction_relevance():
    rows, _ = pick(GAIN, FEATURES, 50)
    # softmax(-IRS * sqrt(2)) over 0.5 and 1.0 gives 0.670 and 0.330 of 50.
    weights = np.exp(-np.array([0.5, 1.0]) * np.sqrt(2))
    expected = np.round(50 * weights / weights.sum()).astype(int)
    assert [(TASKS[rows] == task).sum() for task in "ab"] == expected.tolist() == [33, 17]


def test_typical_rows_come_first():
    # In each task a bundle of ten around an axis, and others that are spread.
    features = FEATURES.copy()
    features[:10] = [9, 0, 0, 0, 0, 0] + 0.01 * rng.standard_normal((10, 6))
    rows, gains = pick(GAIN, features, 12, rows_per_cluster=1000)
    assert set(rows[TASKS[rows] == "a"].tolist()) < set(range(10))
    assert gains[0] > 30


def test_typicality_matches_hand_computed_values():
    features = np.array([[1, 0], [0, 1], [-1, 0], [1, 0]], dtype=np.float32)
    columns = {"task": np.zeros(4)}
    rows, gains = PreSel(neighbors=1)(np.ones(4), features, 4, np.random.default_rng(0), columns)
    assert set(rows[:2].tolist()) == {0, 3}  # equal rows, at distance 0
    np.testing.assert_allclose(gains[2:], 1 / np.sqrt(2), rtol=1e-6)


def test_non_positive_scores_raise_an_error():
    with pytest.raises(ValueError, match="expected scores above 0"):
        pick(GAIN - 1, FEATURES, 5)
    with pytest.raises(ValueError, match="neighbors"):
        PreSel(neighbors=0)
