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


@pytest.fixture(scope="module")
def many():
    """Rows of 2,000 topics: enough for clusters."""
    chance = np.random.default_rng(1)
    topics = chance.standard_normal((2000, 16))
    rows = topics[chance.integers(2000, size=40_000)] + 0.3 * chance.standard_normal((40_000, 16))
    return rows.astype(np.float32)


def radius(features, picks):
    """The distance of the farthest row from its nearest pick."""
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = (units @ units[picks].T).max(axis=1)
    return np.sqrt(2 - 2 * nearest.min())


def test_approximate_picks_reach_nearly_as_far(many):
    picks = {
        approximate: KCenter(approximate=approximate)(None, many, 400, np.random.default_rng(0), {})[0]
        for approximate in (True, False)
    }
    chosen = np.random.default_rng(0).choice(len(many), 400, replace=False)
    exact, nearly, by_chance = (radius(many, rows) for rows in (picks[False], picks[True], chosen))
    assert len({*picks[True].tolist()}) == 400
    assert exact < nearly < (exact + by_chance) / 2


def test_approximate_gains_never_fall_short(many):
    picks, gains = KCenter(approximate=True)(None, many, 100, np.random.default_rng(0), {})
    for turn in (50, 99):
        others = many[picks[:turn]]
        assert gains[turn] >= radius(np.vstack([others, many[picks[turn]]]), np.arange(turn)) - 1e-5


def test_note_says_how_much_farther(many):
    rule = KCenter(approximate=True)
    picks = [
        KCenter(approximate=approximate)(None, many, 400, np.random.default_rng(0), {})[0]
        for approximate in (True, False)
    ]
    expected = radius(many, picks[0]) / radius(many, picks[1])
    note = rule.notes(None, many, 400, np.random.default_rng(0))["radius"]
    assert note == pytest.approx(expected, abs=0.02)
    assert note > 1
    assert rule.notes(None, many, 40, np.random.default_rng(0)) == {"radius": None}
    assert KCenter().notes(None, many, 400, np.random.default_rng(0)) == {}
