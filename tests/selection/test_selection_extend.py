"""Selection.extend picks from new rows."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
from pools import mixed_pool
from random_pool import ROWS, WIDTH, random_pool

from hf_vitselect import NecessityScorer, score, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import ColumnError, UsageError
from hf_vitselect.rules import NeighborPenalty, Random, Rule, TopScore
from hf_vitselect.selection.method import Method


@pytest.fixture(scope="module")
def scored():
    return random_pool(statuses=["ok"] * ROWS)


RANDOMLESS = [
    TopScore(),
    TopScore(lowest=True),
    NeighborPenalty(),
    NeighborPenalty(rescale="minmax", gamma=0.5),
]


@pytest.mark.parametrize("rule", RANDOMLESS, ids=repr)
def test_extending_equals_one_batch(scored, rule):
    old, new = scored.select(range(25)), scored.select(range(25, ROWS))
    first = select_diverse(old, 8, rule=rule)
    more = first.extend(new, 6)
    passed = [
        row_id for row_id, taken in zip(row_ids(old), first.scores["selected"], strict=True) if not taken
    ]
    batch = select_diverse(scored, 14, rule=rule, include=first, exclude=passed)
    assert more.row_ids == batch.row_ids
    np.testing.assert_array_equal(more.gains, batch.gains)
    assert more.recipe.included.recipe == first.recipe
    assert more.recipe.method == first.recipe.method


def test_extending_checks_columns(scored):
    first = select_diverse(scored.select(range(20)), 5, rule=NeighborPenalty())
    assert len(first.extend(scored.select(range(20)), 20)) == 25
    with pytest.raises(ColumnError, match=r"got others in \['embedding'\]"):
        first.extend(scored.remove_columns("embedding"), 2)


@dataclass(frozen=True, kw_only=True)
class First(Rule):
    """A rule of the user's own: the first rows."""

    def pick(self, pool, budget, rng):
        return pool.unpicked(np.arange(len(pool)))[:budget], np.zeros(budget)


def test_own_rule_is_passed_again(scored):
    old, new = scored.select(range(20)), scored.select(range(20, ROWS))
    first = select_diverse(old, 5, rule=First())
    assert first.extend(new, 3, method=Method(rule=First())).row_ids == first.row_ids + row_ids(new)[:3]
    with pytest.raises(UsageError, match=r"method cannot be made again: .*First.*; pass method="):
        first.extend(new, 3)


def test_extending_keeps_balance(scored):
    kind = scored.add_column("kind", ["a", "a", "a", "b"] * (ROWS // 4))
    first = select_diverse(
        kind.select(range(20)), 6, balance="kind", balance_quota="uniform", rule=NeighborPenalty()
    )
    more = first.extend(kind.select(range(20, ROWS)), 4)
    assert more.recipe.method == first.recipe.method
    assert [more.dataset["kind"][:].count(value) for value in "ab"] == [5, 5]


def test_extending_budget_counts_new_rows():
    vectors = [None if i in (0, 2) else [float(i)] * WIDTH for i in range(ROWS)]
    dataset = random_pool(scores=[float(-i) for i in range(ROWS)], vectors=vectors)
    first = select_diverse(dataset.select(range(20)), 6, rule=TopScore())
    more = first.extend(dataset.select(range(20, ROWS)), 3, method=Method(rule=NeighborPenalty()))
    assert more.recipe.included.left_out == {"bad_row": 2}
    assert [sum(more.indices < 6), sum(more.indices >= 6)] == [4, 3]


def test_extending_needs_same_weights(tiny, tmp_path):
    ours, theirs = tiny("llava").folder, tiny("idefics3").folder
    moved = shutil.copytree(ours, tmp_path / "moved")
    pool, new = mixed_pool(12).select(range(6)), mixed_pool(12).select(range(6, 12))
    first = select_diverse(score(pool, NecessityScorer(ours)), 3, rule=TopScore())
    assert len(first.extend(score(new, NecessityScorer(str(moved), batch_size=2)), 2)) == 5
    others = score(new, NecessityScorer(theirs))
    with pytest.raises(ColumnError, match=r"'necessity' by the selection's scorer, got .*\['identity'\]"):
        first.extend(others, 2)
    assert len(first.extend(others, 2, method=Method(rule=Random()))) == 5
    assert len(first.extend(new.map(NecessityScorer(theirs), batched=True), 2)) == 5
