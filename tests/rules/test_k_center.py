"""Greedy k-center against the definition."""

import numpy as np
import pytest

from hf_vitselect.rules import KCenter

rng = np.random.default_rng(0)
FEATURES = rng.standard_normal((60, 5)).astype(np.float32)
SCORES = rng.random(60)


def slow(weights, budget):
    units = FEATURES.astype(np.float64) / np.linalg.norm(FEATURES.astype(np.float64), axis=1)[:, None]
    picks = []
    for _ in range(budget):
        reach = [
            -1.0
            if i in picks
            else weights[i] * min([2.0, *(np.linalg.norm(units[i] - units[j]) for j in picks)])
            for i in range(len(units))
        ]
        picks.append(int(np.argmax(reach)))
    return picks


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_picks_match_the_definition(weighted):
    rows, gains = KCenter(weighted=weighted)(SCORES, FEATURES, 25, np.random.default_rng(0), {})
    assert rows.tolist() == slow(SCORES if weighted else np.ones(60), 25)
    assert (np.diff(gains) <= 1e-9).all()


def test_rows_without_weight_come_last():
    weights = SCORES.copy()
    weights[rows := [4, 9]] = 0.0
    picks = KCenter(weighted=True)(weights, FEATURES, 60, np.random.default_rng(0), {})[0]
    assert set(picks[-2:].tolist()) == set(rows)


def test_negative_weights_raise_an_error():
    with pytest.raises(ValueError, match="weights of 0 or more"):
        KCenter(weighted=True)(SCORES - 1, FEATURES, 2, np.random.default_rng(0), {})
