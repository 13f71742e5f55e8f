"""TopScore: the order of scores, and of ties."""

import numpy as np
import pytest

from hf_vitselect.rules import TopScore

SCORES = np.round(np.abs(np.random.default_rng(0).standard_normal(300)), 1)


@pytest.mark.parametrize("lowest", [False, True], ids=["highest", "lowest"])
def test_ties_go_to_lowest_row(lowest):
    sign = 1 if lowest else -1
    order = [row for _, row in sorted((sign * score, row) for row, score in enumerate(SCORES.tolist()))]
    rows, gains = TopScore(lowest=lowest)(SCORES, None, 80, np.random.default_rng(0), {})
    assert rows.tolist() == order[:80]
    np.testing.assert_array_equal(gains, SCORES[rows])
