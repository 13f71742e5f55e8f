"""A rule inside groups: shares, order, earlier picks."""

import numpy as np

from hf_vitselect.rules import NeighborPenalty, TopScore
from hf_vitselect.rules.balance import pick_in_groups
from hf_vitselect.rules.base import NO_ROWS

rng = np.random.default_rng(0)
SCORES = rng.random(40)
FEATURES = rng.standard_normal((40, 5)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], [20, 16, 4])


def pick(rule, budget, quota="proportional", picked=NO_ROWS):
    pool = rule.checked_pool(SCORES, FEATURES, {}, picked)
    weights = np.bincount(LABELS).astype(float) if quota == "proportional" else np.ones(3)
    return pick_in_groups(rule, pool, LABELS, weights, budget, np.random.default_rng(0))


def test_quotas_follow_weights_and_group_sizes():
    rows, _ = pick(TopScore(), 20)
    assert np.bincount(LABELS[rows]).tolist() == [10, 8, 2]
    rows, _ = pick(TopScore(), 24, "uniform")
    assert np.bincount(LABELS[rows]).tolist() == [10, 10, 4]


def test_rule_treats_group_as_pool():
    rows, gains = pick(NeighborPenalty(neighbors=3), 20)
    for group, share in enumerate([10, 8, 2]):
        inside = np.flatnonzero(group == LABELS)
        alone, worth = NeighborPenalty(neighbors=3)(SCORES[inside], FEATURES[inside], share, rng, {})
        of_group = LABELS[rows] == group
        assert rows[of_group].tolist() == inside[alone].tolist()
        assert gains[of_group].tolist() == worth.tolist()


def test_earlier_picks_count_in_groups():
    first, _ = pick(TopScore(), 10)
    more, _ = pick(TopScore(), 10, picked=first)
    whole, _ = pick(TopScore(), 20)
    assert {*first.tolist(), *more.tolist()} == {*whole.tolist()}
