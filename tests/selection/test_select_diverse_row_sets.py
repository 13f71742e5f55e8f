"""Rows to include and to exclude."""

import json

import numpy as np
import pytest
from random_pool import ROWS, random_pool

from hf_vitselect import select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import BudgetError, RowSetError
from hf_vitselect.rules import NeighborPenalty, Random, TopScore
from hf_vitselect.selection.recipe import Recipe


@pytest.fixture(scope="module")
def scored():
    return random_pool(statuses=["ok"] * ROWS)


def test_included_rows_count_toward_budget(scored):
    ids = row_ids(scored)
    selection = select_diverse(scored, 10, include=[ids[5], ids[2]], rule=NeighborPenalty())
    assert selection.indices[:2].tolist() == [5, 2]
    assert len(selection) == len(set(selection.indices.tolist())) == 10
    assert selection.gains[:2].tolist() == [0.0, 0.0]
    assert selection.recipe.included.rows == 2
    assert selection.scores["rank"][5] == 0


def test_including_a_selection_continues_it(scored):
    first = select_diverse(scored, 8, seed=3, rule=NeighborPenalty())
    more = select_diverse(scored, 20, seed=3, include=first, rule=NeighborPenalty())
    whole = select_diverse(scored, 20, seed=3, rule=NeighborPenalty())
    np.testing.assert_array_equal(more.indices, whole.indices)
    np.testing.assert_array_equal(more.gains, whole.gains)
    assert more.recipe.included.recipe == first.recipe
    assert Recipe.from_json(json.loads(json.dumps(more.recipe.to_json()))) == more.recipe


def test_excluded_rows_are_never_picked(scored):
    out = select_diverse(scored, 10, rule=Random())
    rest = select_diverse(scored, 30, rule=TopScore(), exclude=out)
    assert not {*rest.indices.tolist()} & {*out.indices.tolist()}
    assert rest.recipe.dropped == {"excluded": 10}
    assert rest.recipe.excluded.rows == 10
    assert rest.recipe.excluded.recipe.rule_call.name == "Random"


def test_unusable_included_rows_are_left_out():
    dataset = random_pool(statuses=["too_long", *["ok"] * (ROWS - 1)])
    selection = select_diverse(dataset, 5, include=row_ids(dataset)[:2], rule=NeighborPenalty())
    assert selection.indices[0] == 1
    assert selection.recipe.included.left_out == {"too_long": 1}


@pytest.mark.parametrize(
    ("budget", "include", "exclude", "error", "message"),
    [
        (5, ["nowhere"], [], RowSetError, "1 of 1 row ids that are not in it, the first: 'nowhere'"),
        (5, [3], [3], RowSetError, "1 rows that are both"),
        (2, [3, 4], [], BudgetError, "asked for 2 rows, but 2 are included"),
        (40, [], [3], BudgetError, "only 39 of the pool's 40"),
    ],
    ids=["unknown", "both", "all-included", "too-few-left"],
)
def test_mismatched_row_sets_are_errors(scored, budget, include, exclude, error, message):
    ids = row_ids(scored)
    include, exclude = ([ids[i] if isinstance(i, int) else i for i in rows] for rows in (include, exclude))
    with pytest.raises(error, match=message):
        select_diverse(scored, budget, include=include, exclude=exclude, rule=NeighborPenalty())
