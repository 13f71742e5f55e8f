"""GroupedSampling: exact quotas, groups of three kinds, seeded, nested."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitselect.rules.grouped_sampling import GroupedSampling
from hf_vitselect.rules.quotas import quotas


def pick(rule, scores, budget, seed=0, features=None, **columns):
    scores = np.asarray(scores, dtype=np.float64)
    columns = {name: np.asarray(values) for name, values in columns.items()}
    rows, gains = rule(scores, features, budget, np.random.default_rng(seed), columns)
    assert len(set(rows.tolist())) == len(rows) == budget
    np.testing.assert_array_equal(gains, scores[rows])
    return rows


@pytest.mark.parametrize(
    ("sizes", "weights", "budget", "expected"),
    [
        ([10, 10, 10], [1, 1, 1], 10, [4, 3, 3]),  # the first of equal remainders
        ([50, 30, 20], [50, 30, 20], 10, [5, 3, 2]),
        ([2, 10, 10], [1, 1, 1], 12, [2, 5, 5]),  # the first has two, and hands two on
        ([1, 2, 30], [1, 1, 1], 20, [1, 2, 17]),  # handed on twice
        ([0, 5, 1], [1, 1, 1], 4, [0, 3, 1]),
        ([3, 3], [1, 1e-9], 6, [3, 3]),
        ([7, 7], [3, 1], 1, [1, 0]),
    ],
)
def test_quotas_by_hand(sizes, weights, budget, expected):
    assert quotas(np.array(sizes), np.array(weights, dtype=float), budget).tolist() == expected


def test_a_group_that_has_more_than_its_share_keeps_it():
    given = np.array([8, 0, 1])
    assert quotas(np.array([10, 10, 10]), np.ones(3), 12, given).tolist() == [8, 2, 2]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_quotas_add_up_and_lie_next_to_the_exact_share(data):
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


SCORES = np.random.default_rng(1).gamma(2.0, size=100)


def decile(scores):
    return np.argsort(np.argsort(scores, kind="stable")) // (len(scores) // 10)


def test_quantiles_give_their_shares():
    counts = np.bincount(decile(SCORES)[pick(GroupedSampling(quota="uniform"), SCORES, 50)], minlength=10)
    assert counts.tolist() == [5] * 10
    rising = np.bincount(decile(SCORES)[pick(GroupedSampling(), SCORES, 55)], minlength=10)
    assert rising.tolist() == list(range(1, 11))


def test_a_column_gives_groups_of_any_value():
    source = np.array(["a"] * 60 + [None] * 30 + ["one"] + ["b"] * 9, dtype=object)
    rule = GroupedSampling(groups="source", quota="proportional")
    rows = pick(rule, SCORES, 20, source=source)
    assert rule.uses_columns == ("source",)
    counts = {str(value): int((source[rows] == value).sum()) for value in ("a", None, "one", "b")}
    assert counts == {"a": 12, "None": 6, "one": 0, "b": 2}


def test_clusters_are_those_of_the_features():
    rng = np.random.default_rng(0)
    centres = np.eye(4, 8, dtype=np.float32)
    kind = rng.permutation(np.repeat([0, 1, 2, 3], [40, 40, 15, 5]))
    features = (centres[kind] * 5 + rng.normal(scale=0.1, size=(100, 8))).astype(np.float32)
    rule = GroupedSampling(groups=4, cluster=True, quota="uniform")
    assert rule.uses_features
    rows = pick(rule, SCORES, 24, features=features)
    counts = np.bincount(kind[rows])
    assert counts[3] == 5  # all it has; the rest is handed on
    assert counts[:3].sum() == 19
    assert counts[:3].min() >= 6


def test_by_necessity_takes_the_highest_of_each_group():
    rows = pick(GroupedSampling(groups=2, quota="uniform", within="necessity"), SCORES, 10)
    order = np.argsort(SCORES)
    assert set(rows) == {*order[45:50], *order[95:]}


def test_the_seed_draws_and_only_the_seed():
    rule = GroupedSampling()
    assert pick(rule, SCORES, 30).tolist() == pick(rule, SCORES, 30).tolist()
    assert set(pick(rule, SCORES, 30)) != set(pick(rule, SCORES, 30, seed=1))


@pytest.mark.parametrize("within", ["random", "necessity"])
@pytest.mark.parametrize("quota", ["uniform", "proportional", "rising"])
def test_a_smaller_subset_is_inside_a_larger_one(quota, within):
    scores = np.random.default_rng(2).gamma(2.0, size=1000)
    subsets = [
        set(pick(GroupedSampling(groups=7, quota=quota, within=within), scores, budget, seed=5))
        for budget in (50, 100, 200, 400, 800)
    ]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger


def test_quotas_count_what_was_picked_before():
    picked = np.argsort(SCORES)[-8:]  # all from the highest tenth
    rows = GroupedSampling(quota="uniform")(SCORES, None, 42, np.random.default_rng(0), {}, picked)[0]
    counts = np.bincount(decile(SCORES)[np.concatenate([rows, picked])], minlength=10)
    assert counts.tolist() == [5, 5, 5, 5, 5, 5, 4, 4, 4, 8]


def test_every_beginning_of_the_picks_is_spread_over_the_groups():
    rows = pick(GroupedSampling(quota="uniform"), SCORES, 50)
    for turn in range(5):
        assert sorted(decile(SCORES)[rows[10 * turn : 10 * turn + 10]]) == list(range(10))


@pytest.mark.parametrize("budget", [1, 3, 5])
def test_more_groups_than_rows(budget):
    pick(GroupedSampling(groups=20), [0.1, 0.2, 0.3, 0.4, 0.5], budget)
    pick(GroupedSampling(groups="source"), [0.0] * 5, budget, source=list("abcde"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 0}, "groups: expected a number from 1 or a column's name, got 0"),
        ({"groups": True}, "groups"),
        ({"groups": "source", "cluster": True}, "expected the number of clusters"),
        ({"quota": "falling"}, "quota: expected one of"),
        ({"within": "best"}, "within: expected one of"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GroupedSampling(**options)
