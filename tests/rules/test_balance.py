"""A rule inside groups: shares, order, earlier picks."""

import numpy as np

from hf_vitselect.rules import NeighborPenalty, TopScore
from hf_vitselect.rules.balance import pick_in_groups

rng = np.random.default_rng(0)
SCORES = rng.random(40)
FEATURES = rng.standard_normal((40, 5)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], [20, 16, 4])


def pick(rule, budget, weights, picked=None):
    given = {} if picked is None else {"picked": picked}
    state = np.random.default_rng(0)
    return pick_in_groups(
        rule, LABELS, np.array(weights, float), SCORES, FEATURES, budget, state, {}, **given
    )


def test_shares_are_the_weights_and_what_a_group_lacks_is_handed_on():
    rows, _ = pick(TopScore(), 20, [20, 16, 4])
    assert np.bincount(LABELS[rows]).tolist() == [10, 8, 2]
    rows, _ = pick(TopScore(), 24, [1, 1, 1])
    assert np.bincount(LABELS[rows]).tolist() == [10, 10, 4]


def test_inside_a_group_the_rule_picks_as_if_it_were_the_pool():
    rows, gains = pick(NeighborPenalty(neighbors=3), 20, [20, 16, 4])
    for group, share in enumerate([10, 8, 2]):
        inside = np.flatnonzero(group == LABELS)
        alone, worth = NeighborPenalty(neighbors=3)(SCORES[inside], FEATURES[inside], share, rng, {})
        of_group = LABELS[rows] == group
        assert rows[of_group].tolist() == inside[alone].tolist()
        assert gains[of_group].tolist() == worth.tolist()


def test_earlier_picks_count_in_their_groups():
    first, _ = pick(TopScore(), 10, [20, 16, 4])
    more, _ = pick(TopScore(), 10, [20, 16, 4], picked=first)
    whole, _ = pick(TopScore(), 20, [20, 16, 4])
    assert {*first.tolist(), *more.tolist()} == {*whole.tolist()}
