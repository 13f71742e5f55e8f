"""GroupedSampling: exact quotas, groups of three kinds, seeded, nested."""

from itertools import pairwise

import numpy as np
import pytest

from hf_vitselect.rules.grouped_sampling import GroupedSampling


def pick(rule, scores, budget, seed=0, features=None, **columns):
    scores = np.asarray(scores, dtype=np.float64)
    columns = {name: np.asarray(values) for name, values in columns.items()}
    rows, gains = rule(scores, features, budget, np.random.default_rng(seed), columns)
    assert len(set(rows.tolist())) == len(rows) == budget
    np.testing.assert_array_equal(gains, scores[rows])
    return rows


SCORES = np.random.default_rng(1).gamma(2.0, size=100)


def decile(scores):
    return np.argsort(np.argsort(scores, kind="stable")) // (len(scores) // 10)


def test_quantiles_give_their_quotas():
    counts = np.bincount(decile(SCORES)[pick(GroupedSampling(quota="uniform"), SCORES, 50)], minlength=10)
    assert counts.tolist() == [5] * 10
    rising = np.bincount(decile(SCORES)[pick(GroupedSampling(), SCORES, 55)], minlength=10)
    assert rising.tolist() == list(range(1, 11))


def test_column_groups_may_be_null():
    source = np.array(["a"] * 60 + [None] * 30 + ["one"] + ["b"] * 9, dtype=object)
    rule = GroupedSampling(groups="source", quota="proportional")
    rows = pick(rule, SCORES, 20, source=source)
    assert rule.uses_columns == ("source",)
    counts = {str(value): int((source[rows] == value).sum()) for value in ("a", None, "one", "b")}
    assert counts == {"a": 12, "None": 6, "one": 0, "b": 2}


def test_clusters_come_from_features():
    rng = np.random.default_rng(0)
    centres = np.eye(4, 8, dtype=np.float32)
    kind = rng.permutation(np.repeat([0, 1, 2, 3], [40, 40, 15, 5]))
    features = (centres[kind] * 5 + rng.normal(scale=0.1, size=(100, 8))).astype(np.float32)
    rule = GroupedSampling(groups=4, cluster=True, quota="uniform")
    assert rule.uses_features
    rows = pick(rule, SCORES, 24, features=features)
    counts = np.bincount(kind[rows])
    assert counts[3] == 5  # all it has; the others share the rest
    assert counts[:3].sum() == 19
    assert counts[:3].min() >= 6


def test_necessity_takes_highest_per_group():
    rows = pick(GroupedSampling(groups=2, quota="uniform", within="necessity"), SCORES, 10)
    order = np.argsort(SCORES)
    assert set(rows) == {*order[45:50], *order[95:]}


def test_only_the_seed_changes_picks():
    rule = GroupedSampling()
    assert pick(rule, SCORES, 30).tolist() == pick(rule, SCORES, 30).tolist()
    assert set(pick(rule, SCORES, 30)) != set(pick(rule, SCORES, 30, seed=1))


@pytest.mark.parametrize("within", ["random", "necessity"])
@pytest.mark.parametrize("quota", ["uniform", "proportional", "rising"])
def test_smaller_subsets_are_nested(quota, within):
    scores = np.random.default_rng(2).gamma(2.0, size=1000)
    subsets = [
        set(pick(GroupedSampling(groups=7, quota=quota, within=within), scores, budget, seed=5))
        for budget in (50, 100, 200, 400, 800)
    ]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger


def test_quotas_count_earlier_picks():
    picked = np.argsort(SCORES)[-8:]  # all from the highest tenth
    rows = GroupedSampling(quota="uniform")(SCORES, None, 42, np.random.default_rng(0), {}, picked)[0]
    counts = np.bincount(decile(SCORES)[np.concatenate([rows, picked])], minlength=10)
    assert counts.tolist() == [5, 5, 5, 5, 5, 5, 4, 4, 4, 8]


def test_every_prefix_covers_all_groups():
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
def test_invalid_parameters_raise_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        GroupedSampling(**options)
