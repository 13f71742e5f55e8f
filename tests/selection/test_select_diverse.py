"""select_diverse: budgets, columns, rows that cannot be picked, rules."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from datasets import List, Value
from random_pool import ROWS, WIDTH, random_pool

from hf_vitselect import select_diverse
from hf_vitselect.errors import AllRefusedError, BudgetError, ColumnError
from hf_vitselect.rules import GroupedSampling, NeighborPenalty, Random, Rule, TopScore
from hf_vitselect.selection.method import CleanBalanced, Method, read_method


@pytest.fixture(scope="module")
def scored():
    return random_pool(statuses=["ok"] * ROWS)


BUDGETS = {
    "rows": (7, 7),
    "one row": (1, 1),
    "all rows": (ROWS, ROWS),
    "a share": (0.15, 6),
    "a share, rounded down": (0.199, 7),
    "a share below one row": (1e-9, 1),
    "the whole share": (1.0, ROWS),
    "a numpy integer": (np.int64(5), 5),
    "a numpy share": (np.float32(0.5), 20),
}


@pytest.mark.parametrize(("budget", "rows"), BUDGETS.values(), ids=BUDGETS)
def test_budget_is_rows_or_share(scored, budget, rows):
    selection = select_diverse(scored, budget, rule=NeighborPenalty())
    assert len(selection) == len(selection.dataset) == rows == selection.recipe.selected
    assert len(set(selection.indices.tolist())) == rows
    assert json.loads(json.dumps(selection.recipe.to_json()))["budget"] == budget


BAD_BUDGETS = [0, -1, 0.0, -0.5, 1.5, math.nan, math.inf, True, False, "7", None, ROWS + 1, np.int64(0)]


@pytest.mark.parametrize("budget", BAD_BUDGETS, ids=repr)
def test_invalid_budget_names_valid_ones(scored, budget):
    with pytest.raises(BudgetError, match=r"an int from 1, or a share|ask for at most 40"):
        select_diverse(scored, budget, rule=NeighborPenalty())


def test_too_large_budget_names_usable_rows():
    statuses = ["ok"] * 30 + ["image_error"] * 10
    with pytest.raises(BudgetError, match=r"asked for 40 rows, but only 30 of the pool's 40"):
        select_diverse(random_pool(statuses=statuses), 1.0, rule=NeighborPenalty())
    assert len(select_diverse(random_pool(statuses=statuses), 30, rule=NeighborPenalty())) == 30


UNKNOWN = {
    "by": ({"by": "wanted"}, "'wanted'.*score the pool first"),
    "over": ({"over": "wanted"}, "'wanted'.*score the pool first"),
    "a text as by": ({"by": "necessity_status"}, r"numbers in 'necessity_status'"),
    "vectors as by": ({"by": "embedding"}, r"numbers in 'embedding'"),
    "numbers as over": ({"over": "necessity"}, r"vectors in 'necessity'"),
    "turns as over": ({"over": "messages"}, r"vectors in 'messages'"),
}


@pytest.mark.parametrize(("options", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_unsuitable_column_is_an_error(scored, options, message):
    with pytest.raises(ColumnError, match=message):
        select_diverse(scored, 3, **options, rule=NeighborPenalty())


def test_unused_columns_may_be_missing(scored):
    select_diverse(scored.remove_columns("embedding"), 3, rule=TopScore())
    unscored = scored.remove_columns(["embedding", "necessity", "necessity_status"])
    selection = select_diverse(unscored, 3, rule=Random())
    assert len(selection) == 3
    assert (selection.recipe.by, selection.recipe.over) == (None, None)
    with pytest.raises(ColumnError, match="embedding"):
        select_diverse(scored.remove_columns("embedding"), 3, rule=NeighborPenalty())


UNUSABLE = {
    "nan": (float("nan"), "ok", "non_finite"),
    "infinite": (float("inf"), "ok", "non_finite"),
    "null": (None, "too_long", "too_long"),
    "null without a reason": (None, None, "bad_row"),
    "null that calls itself ok": (None, "ok", "bad_row"),
    "a number with a bad status": (9.0, "worker_died", "worker_died"),
}


@pytest.mark.parametrize(
    "rule", [TopScore(), NeighborPenalty(), Random()], ids=lambda rule: type(rule).__name__
)
@pytest.mark.parametrize(("value", "status", "counted"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_scores_are_counted_never_picked(value, status, counted, rule):
    scores = np.random.default_rng(1).random(ROWS).tolist()
    scores[3] = scores[17] = value
    statuses = ["ok" if i not in (3, 17) else status for i in range(ROWS)]
    selection = select_diverse(random_pool(scores, statuses), ROWS - 2, rule=rule)
    assert not {3, 17} & set(selection.indices.tolist())
    assert selection.recipe.dropped == {counted: 2}
    assert selection.recipe.rows == ROWS


def test_unusable_features_are_dropped_if_used():
    vectors = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).tolist()
    vectors[2], vectors[5][0] = None, float("nan")
    dataset = random_pool(vectors=vectors)
    selection = select_diverse(dataset, ROWS - 2, rule=NeighborPenalty())
    assert not {2, 5} & set(selection.indices.tolist())
    assert selection.recipe.dropped == {"bad_row": 1, "non_finite": 1}
    assert select_diverse(dataset, ROWS, rule=TopScore()).recipe.dropped == {}


def test_unusable_pool_is_an_error():
    with pytest.raises(AllRefusedError, match="all 40 rows cannot be picked: 40 too_long"):
        select_diverse(
            random_pool([None] * ROWS, ["too_long"] * ROWS, vectors=[None] * ROWS), 1, rule=NeighborPenalty()
        )


KINDS = {
    "variable length": List(Value("float32")),
    "float64": List(Value("float64")),
    "float16": List(Value("float16"), length=WIDTH),
    "integers": List(Value("int64")),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_vector_types_give_same_picks(kind):
    vectors = np.random.default_rng(0).integers(-9, 9, (ROWS, WIDTH)).tolist()
    vectors[4] = None
    one = select_diverse(random_pool(vectors=vectors), 10, rule=NeighborPenalty())
    other = select_diverse(random_pool(vectors=vectors, kind=kind), 10, rule=NeighborPenalty())
    assert one.indices.tolist() == other.indices.tolist()


def test_mixed_vector_lengths_are_an_error():
    vectors = [[1.0] * (3 + i % 2) for i in range(ROWS)]
    with pytest.raises(ColumnError, match=r"one length in 'embedding', got lengths \[3, 4\]"):
        select_diverse(random_pool(vectors=vectors, kind=List(Value("float32"))), 3, rule=NeighborPenalty())


@pytest.mark.parametrize("kind", ["int64", "float64", "uint8", "bool"])
def test_score_types_are_accepted(scored, kind):
    values = (np.arange(ROWS) % 2 if kind == "bool" else np.arange(ROWS)).astype(kind).tolist()
    dataset = scored.add_column("mine", values, feature=Value(kind))
    picked = select_diverse(dataset, 3, by="mine", rule=TopScore()).indices.tolist()
    assert picked == ([1, 3, 5] if kind == "bool" else [39, 38, 37])


def test_ties_go_to_lowest_row():
    dataset = random_pool(scores=[1.0] * ROWS)
    assert select_diverse(dataset, 4, rule=TopScore()).indices.tolist() == [0, 1, 2, 3]
    assert select_diverse(dataset, 4, rule=TopScore(lowest=True)).indices.tolist() == [0, 1, 2, 3]
    assert select_diverse(dataset, 1, rule=NeighborPenalty()).indices.tolist() == [0]


def test_short_forms_are_methods(scored):
    scored = scored.add_column("kind", ["a", "a", "a", "b"] * (ROWS // 4))
    short = select_diverse(scored, 9, rule=NeighborPenalty(gamma=0.5), by="necessity", balance="kind")
    method = Method(rule=NeighborPenalty(gamma=0.5), kinds="kind")
    whole = select_diverse(scored, 9, method=method)
    assert short.indices.tolist() == whole.indices.tolist()
    assert short.recipe == whole.recipe
    assert read_method(whole.recipe.method) == method
    with pytest.raises(TypeError, match="expected method= or rule=, got both"):
        select_diverse(scored, 9, method=method, rule=NeighborPenalty())


@pytest.mark.filterwarnings("ignore:.* is skipped")
def test_default_needs_necessity_only(scored):
    selection = select_diverse(scored.select_columns(["messages", "necessity"]), 9)
    assert read_method(selection.recipe.method) == CleanBalanced()
    with pytest.raises(ColumnError, match="the score is the column 'necessity'"):
        select_diverse(scored.select_columns(["messages"]), 9)


def test_results_are_in_pick_order(scored):
    selection = select_diverse(scored, 5, rule=TopScore())
    numbers = np.array(scored["necessity"][:])
    assert selection.indices.tolist() == np.argsort(-numbers, kind="stable")[:5].tolist()
    assert selection.dataset["necessity"][:] == numbers[selection.indices].tolist()
    np.testing.assert_array_equal(selection.gains, numbers[selection.indices])
    assert (selection.indices.dtype, selection.gains.dtype) == (np.int64, np.float64)
    assert selection.dataset.features == scored.features


def test_seed_changes_random_picks(scored):
    picks = [select_diverse(scored, 8, rule=Random(), seed=seed).indices.tolist() for seed in (0, 0, 1)]
    assert picks[0] == picks[1] != picks[2]
    assert select_diverse(scored, 8, rule=Random(), seed=1).recipe.seed == 1


def test_diversity_is_mean_nearest_cosine():
    angles = np.linspace(0, 1.5, ROWS) ** 2
    vectors = np.pad(np.stack([np.cos(angles), np.sin(angles)], axis=1), ((0, 0), (0, WIDTH - 2)))
    selection = select_diverse(random_pool(vectors=vectors.tolist()), 7, rule=NeighborPenalty())
    cosines = vectors[selection.indices] @ vectors[selection.indices].T
    np.fill_diagonal(cosines, -1)
    assert selection.recipe.diversity["mean_nearest_cosine"] == pytest.approx(cosines.max(1).mean(), abs=1e-5)


@dataclass(frozen=True, kw_only=True)
class Longest(Rule):
    """Picks by a column of its own."""

    column: str = "length"

    @property
    def uses_columns(self):
        return (self.column,)

    def pick(self, pool, budget, rng):
        lengths = pool.columns[self.column]
        picks = pool.unpicked(np.argsort(-lengths, kind="stable"))[:budget]
        return picks, lengths[picks].astype(np.float64)


def test_rule_may_use_more_columns():
    statuses = ["bad_row" if i == 39 else "ok" for i in range(ROWS)]
    dataset = random_pool(statuses=statuses).add_column("length", list(range(ROWS)))
    selection = select_diverse(dataset, 3, rule=Longest())
    assert selection.indices.tolist() == [38, 37, 36]
    with pytest.raises(ColumnError, match="Longest uses the column 'length'"):
        select_diverse(dataset.remove_columns("length"), 3, rule=Longest())


@pytest.mark.parametrize(("quota", "counts"), [("proportional", [7, 3]), ("uniform", [5, 5])])
def test_balance_sets_group_quotas(scored, quota, counts):
    kind = scored.add_column("kind", ["a"] * 28 + ["b"] * 12)
    selection = select_diverse(kind, 10, balance="kind", balance_quota=quota, rule=NeighborPenalty())
    assert [selection.dataset["kind"][:].count(value) for value in "ab"] == counts
    method = read_method(selection.recipe.method)
    assert (method.kinds, method.quota) == ("kind", quota)
    with pytest.raises(ColumnError, match="kinds are the values of the column 'mind'"):
        select_diverse(kind, 10, balance="mind", rule=NeighborPenalty())


@pytest.mark.parametrize("values", [[1, None], [1.5, math.nan], ["a", None], [True, None]], ids=repr)
def test_nulls_form_one_group(scored, values):
    kind = scored.add_column("kind", [values[i % 2] for i in range(ROWS)])
    rule = GroupedSampling(groups="kind", quota="uniform")
    selection = select_diverse(kind, 10, rule=rule)
    assert sum(i % 2 for i in selection.indices.tolist()) == 5


def test_group_column_holds_single_values(scored):
    with pytest.raises(ColumnError, match="expected single values in 'embedding'"):
        select_diverse(scored, 5, rule=GroupedSampling(groups="embedding"))
