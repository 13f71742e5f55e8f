"""AlpaGasus: good enough, drawn at random."""

import numpy as np
import pytest

from hf_vitselect.rules import ScoreThreshold

SCORES = np.array([9.0, 8.9, 10.0, 3.0, 9.5])


def pick(budget, seed=0, **options):
    return ScoreThreshold(**options)(SCORES, None, budget, np.random.default_rng(seed), {})


def test_picks_only_rows_above_threshold():
    rows, gains = pick(3)
    assert sorted(rows.tolist()) == [0, 2, 4]
    np.testing.assert_array_equal(gains, SCORES[rows])


def test_rows_are_drawn_at_random():
    assert {pick(1, seed)[0].item() for seed in range(30)} == {0, 2, 4}


def test_too_few_rows_raise_an_error():
    with pytest.raises(ValueError, match=r"expected 4 more rows with a score of 9.0 or more, got 3"):
        pick(4)
    assert len(pick(4, minimum=8.9)[0]) == 4
