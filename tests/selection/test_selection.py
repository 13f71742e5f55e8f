"""select_diverse and Selection: budgets, unusable rows, recipes, the way to disk and back."""

import json
import math
import shutil
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from datasets import Features, List, Value, load_from_disk
from pools import assistant, mixed_pool, pool, raw_images, user

from hf_vitselect import NecessityScorer, Selection, TextEmbedding, score, select_diverse
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import AllRefusedError, BudgetError, ColumnError, RowSetError
from hf_vitselect.rules import GroupedSampling, NeighborPenalty, Random, Rule, TopScore
from hf_vitselect.selection.recipe import Balance, Recipe, RuleCall

ROWS, WIDTH = 40, 6


def scored_pool(scores=None, statuses=None, kind=None, vectors=None):
    """A pool with score and embedding columns of random numbers."""
    rng = np.random.default_rng(0)
    dataset = pool([([user(f"what? {i}"), assistant("red")], []) for i in range(ROWS)])
    scores = rng.random(ROWS).astype(np.float32).tolist() if scores is None else scores
    vectors = rng.standard_normal((ROWS, WIDTH)).tolist() if vectors is None else vectors
    dataset = dataset.add_column("necessity", scores, feature=Value("float32"))
    if statuses is not None:
        dataset = dataset.add_column("necessity_status", statuses, feature=Value("string"))
    return dataset.add_column("embedding", vectors, feature=kind or List(Value("float32"), length=WIDTH))


@pytest.fixture(scope="module")
def scored():
    return scored_pool(statuses=["ok"] * ROWS)


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
def test_a_budget_is_rows_or_a_share(scored, budget, rows):
    selection = select_diverse(scored, budget)
    assert len(selection) == len(selection.dataset) == rows == selection.recipe.selected
    assert len(set(selection.indices.tolist())) == rows
    assert json.loads(json.dumps(selection.recipe.to_json()))["budget"] == budget


BAD_BUDGETS = [0, -1, 0.0, -0.5, 1.5, math.nan, math.inf, True, False, "7", None, ROWS + 1, np.int64(0)]


@pytest.mark.parametrize("budget", BAD_BUDGETS, ids=repr)
def test_a_budget_that_is_none_says_what_would_be_one(scored, budget):
    with pytest.raises(BudgetError, match=r"an int from 1, or a share|ask for at most 40"):
        select_diverse(scored, budget)


def test_a_budget_above_the_scorable_rows_says_how_many_there_are():
    statuses = ["ok"] * 30 + ["image_error"] * 10
    with pytest.raises(BudgetError, match=r"asked for 40 rows, but only 30 of the pool's 40"):
        select_diverse(scored_pool(statuses=statuses), 1.0)
    assert len(select_diverse(scored_pool(statuses=statuses), 30)) == 30


UNKNOWN = {
    "by": ({"by": "wanted"}, "'wanted'.*score the pool first"),
    "over": ({"over": "wanted"}, "'wanted'.*score the pool first"),
    "a text as by": ({"by": "necessity_status"}, r"numbers in 'necessity_status'"),
    "vectors as by": ({"by": "embedding"}, r"numbers in 'embedding'"),
    "numbers as over": ({"over": "necessity"}, r"vectors in 'necessity'"),
    "turns as over": ({"over": "messages"}, r"vectors in 'messages'"),
}


@pytest.mark.parametrize(("options", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_column_that_does_not_serve_is_an_error(scored, options, message):
    with pytest.raises(ColumnError, match=message):
        select_diverse(scored, 3, **options)


def test_columns_that_the_rule_does_not_use_may_be_missing(scored):
    select_diverse(scored.remove_columns("embedding"), 3, rule=TopScore())
    unscored = scored.remove_columns(["embedding", "necessity", "necessity_status"])
    selection = select_diverse(unscored, 3, rule=Random())
    assert len(selection) == 3
    assert (selection.recipe.by, selection.recipe.over) == (None, None)
    with pytest.raises(ColumnError, match="embedding"):
        select_diverse(scored.remove_columns("embedding"), 3)


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
def test_rows_without_a_usable_score_are_counted_and_never_picked(value, status, counted, rule):
    scores = np.random.default_rng(1).random(ROWS).tolist()
    scores[3] = scores[17] = value
    statuses = ["ok" if i not in (3, 17) else status for i in range(ROWS)]
    selection = select_diverse(scored_pool(scores, statuses), ROWS - 2, rule=rule)
    assert not {3, 17} & set(selection.indices.tolist())
    assert selection.recipe.dropped == {counted: 2}
    assert selection.recipe.rows == ROWS


def test_rows_without_usable_features_are_dropped_where_the_rule_looks_at_them():
    vectors = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).tolist()
    vectors[2], vectors[5][0] = None, float("nan")
    dataset = scored_pool(vectors=vectors)
    selection = select_diverse(dataset, ROWS - 2)
    assert not {2, 5} & set(selection.indices.tolist())
    assert selection.recipe.dropped == {"bad_row": 1, "non_finite": 1}
    assert select_diverse(dataset, ROWS, rule=TopScore()).recipe.dropped == {}


def test_a_pool_where_nothing_is_usable_says_so():
    with pytest.raises(AllRefusedError, match="all 40 rows cannot be picked: 40 too_long"):
        select_diverse(scored_pool([None] * ROWS, ["too_long"] * ROWS, vectors=[None] * ROWS), 1)


KINDS = {
    "variable length": List(Value("float32")),
    "float64": List(Value("float64")),
    "float16": List(Value("float16"), length=WIDTH),
    "integers": List(Value("int64")),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_vectors_of_every_numeric_type_give_the_same_picks(kind):
    vectors = np.random.default_rng(0).integers(-9, 9, (ROWS, WIDTH)).tolist()
    vectors[4] = None
    one = select_diverse(scored_pool(vectors=vectors), 10)
    other = select_diverse(scored_pool(vectors=vectors, kind=kind), 10)
    assert one.indices.tolist() == other.indices.tolist()


def test_vectors_of_several_lengths_are_an_error():
    vectors = [[1.0] * (3 + i % 2) for i in range(ROWS)]
    with pytest.raises(ColumnError, match=r"one length in 'embedding', got lengths \[3, 4\]"):
        select_diverse(scored_pool(vectors=vectors, kind=List(Value("float32"))), 3)


@pytest.mark.parametrize("kind", ["int64", "float64", "uint8", "bool"])
def test_scores_of_every_numeric_type_serve(scored, kind):
    values = (np.arange(ROWS) % 2 if kind == "bool" else np.arange(ROWS)).astype(kind).tolist()
    dataset = scored.add_column("mine", values, feature=Value(kind))
    picked = select_diverse(dataset, 3, by="mine", rule=TopScore()).indices.tolist()
    assert picked == ([1, 3, 5] if kind == "bool" else [39, 38, 37])


def test_ties_go_to_the_lowest_row():
    dataset = scored_pool(scores=[1.0] * ROWS)
    assert select_diverse(dataset, 4, rule=TopScore()).indices.tolist() == [0, 1, 2, 3]
    assert select_diverse(dataset, 4, rule=TopScore(lowest=True)).indices.tolist() == [0, 1, 2, 3]
    assert select_diverse(dataset, 1).indices.tolist() == [0]


def test_the_default_rule_is_self_filter_s(scored):
    default = select_diverse(scored, 9)
    named = select_diverse(scored, 9, rule=NeighborPenalty(gamma=1.0, neighbors=10))
    assert default.indices.tolist() == named.indices.tolist()
    assert default.recipe.rule.to_json() == {
        "rule": "NeighborPenalty",
        "gamma": 1.0,
        "neighbors": 10,
        "rescale": None,
        "approximate": False,
    }
    assert default.recipe.rule_notes == {}


def test_the_recipe_says_that_scores_were_rescaled(scored):
    raw, rescaled = (select_diverse(scored, 9, rule=NeighborPenalty(rescale=how)) for how in (None, "minmax"))
    assert (raw.recipe.rule.arguments["rescale"], rescaled.recipe.rule.arguments["rescale"]) == (
        None,
        "minmax",
    )
    assert rescaled.gains[0] == 1.0 != raw.gains[0]


def test_the_recipe_says_how_near_approximate_picks_come(scored):
    one, two = (select_diverse(scored, 9, rule=NeighborPenalty(approximate=True)) for _ in range(2))
    assert one.recipe == two.recipe == Recipe.from_json(json.loads(json.dumps(one.recipe.to_json())))
    assert one.recipe.rule.arguments["approximate"] is True
    assert one.recipe.rule_notes == {"overlap_with_exact": 1.0, "overlap_rows": ROWS}


def test_rows_gains_and_indices_are_in_pick_order(scored):
    selection = select_diverse(scored, 5, rule=TopScore())
    numbers = np.array(scored["necessity"][:])
    assert selection.indices.tolist() == np.argsort(-numbers, kind="stable")[:5].tolist()
    assert selection.dataset["necessity"][:] == numbers[selection.indices].tolist()
    np.testing.assert_array_equal(selection.gains, numbers[selection.indices])
    assert (selection.indices.dtype, selection.gains.dtype) == (np.int64, np.float64)
    assert selection.dataset.features == scored.features


def test_only_the_seed_changes_random_picks(scored):
    picks = [select_diverse(scored, 8, rule=Random(), seed=seed).indices.tolist() for seed in (0, 0, 1)]
    assert picks[0] == picks[1] != picks[2]
    assert select_diverse(scored, 8, rule=Random(), seed=1).recipe.seed == 1


def test_the_recipe_is_plain_json_and_equal_on_a_second_call(scored):
    one, two = (select_diverse(scored, 0.2) for _ in range(2))
    assert one.recipe == two.recipe == Recipe.from_json(json.loads(json.dumps(one.recipe.to_json())))
    assert one.recipe.by == "necessity"
    assert one.recipe.over == "embedding"
    assert one.recipe.versions["datasets"]
    assert 0 < one.recipe.diversity["mean_nearest_cosine"] < 1


def test_the_recipe_names_the_pool_by_its_content(scored):
    recipe = select_diverse(scored, 3).recipe
    renamed = scored.rename_column("necessity", "need").add_column("more", [0] * ROWS)
    assert select_diverse(renamed, 3, by="need").recipe.fingerprint == recipe.fingerprint
    backwards = scored.select(range(ROWS - 1, -1, -1))
    assert select_diverse(backwards, 3).recipe.fingerprint != recipe.fingerprint


def test_diversity_is_the_mean_cosine_to_the_nearest_other_pick():
    angles = np.linspace(0, 1.5, ROWS) ** 2
    vectors = np.pad(np.stack([np.cos(angles), np.sin(angles)], axis=1), ((0, 0), (0, WIDTH - 2)))
    selection = select_diverse(scored_pool(vectors=vectors.tolist()), 7)
    cosines = vectors[selection.indices] @ vectors[selection.indices].T
    np.fill_diagonal(cosines, -1)
    assert selection.recipe.diversity["mean_nearest_cosine"] == pytest.approx(cosines.max(1).mean(), abs=1e-5)


def test_scores_hold_every_row_and_neither_images_nor_embeddings(scored):
    selection = select_diverse(scored, 4)
    names = ["row_id", "necessity", "necessity_status", "answer_characters", "selected", "rank"]
    assert selection.scores.column_names == names
    assert selection.scores["row_id"][:] == row_ids(scored)
    assert selection.scores["necessity"][:] == scored["necessity"][:]
    ranked = {i: rank for i, rank in enumerate(selection.scores["rank"]) if rank is not None}
    assert ranked == {index: rank for rank, index in enumerate(selection.indices.tolist())}
    assert selection.scores["selected"][:] == [i in ranked for i in range(ROWS)]


def test_a_selection_comes_back_from_disk_as_it_was(tmp_path):
    dataset = mixed_pool(12).add_column("necessity", [0.1 * i for i in range(12)])
    selection = select_diverse(dataset, 5, rule=TopScore())
    selection.save_to_disk(tmp_path / "deep" / "selection")
    again = Selection.load_from_disk(tmp_path / "deep" / "selection")
    assert again.recipe == selection.recipe
    np.testing.assert_array_equal(again.indices, selection.indices)
    np.testing.assert_array_equal(again.gains, selection.gains)
    assert again.scores.features == selection.scores.features
    assert again.scores[:] == selection.scores[:]
    assert again.dataset.features == selection.dataset.features
    assert raw_images(again.dataset) == raw_images(selection.dataset)
    assert again.dataset.remove_columns("images")[:] == selection.dataset.remove_columns("images")[:]


def test_a_loaded_selection_is_saved_over_itself(scored, tmp_path):
    select_diverse(scored, 4).save_to_disk(tmp_path / "selection")
    again = Selection.load_from_disk(tmp_path / "selection")
    again.save_to_disk(tmp_path / "selection")
    assert Selection.load_from_disk(tmp_path / "selection").dataset[:] == again.dataset[:]
    assert [path.name for path in tmp_path.iterdir()] == ["selection"]


def test_saving_does_not_delete_a_folder_that_is_no_selection(scored, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no selection"):
        select_diverse(scored, 4).save_to_disk(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    select_diverse(scored, 4).save_to_disk(tmp_path / "empty")


def test_loading_what_is_no_selection_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Selection.load_from_disk(tmp_path)


def test_a_selection_is_frozen(scored):
    with pytest.raises(FrozenInstanceError):
        select_diverse(scored, 1).recipe = {}


def test_a_scorer_names_its_column_and_enters_the_recipe(tiny):
    need, more = (
        NecessityScorer(tiny("llava").folder),
        NecessityScorer(tiny("idefics3").folder, column="more"),
    )
    dataset = mixed_pool(8).map(need, batched=True).map(more, batched=True)
    selection = select_diverse(dataset, 3, by=more, rule=TopScore())
    assert selection.recipe.by == "more"
    assert more.recipe() in [scorer.to_json() for scorer in selection.recipe.scorers]
    by_name = select_diverse(dataset, 3, by="more", rule=TopScore())
    assert by_name.indices.tolist() == selection.indices.tolist()


def test_the_recipe_knows_the_scorers_of_score_by_themselves(tiny, tmp_path):
    scorer = NecessityScorer(tiny("llava").folder)
    score(mixed_pool(8), scorer).save_to_disk(tmp_path / "scored")
    selection = select_diverse(load_from_disk(tmp_path / "scored"), 3, rule=TopScore())
    assert [recipe.to_json() for recipe in selection.recipe.scorers] == [scorer.recipe()]
    assert selection.recipe.scorers[0].identity.digest


def test_the_recipe_does_not_name_the_scorer_of_a_column_that_is_gone(tiny):
    scored = score(mixed_pool(8), NecessityScorer(tiny("llava").folder))
    bare = scored.remove_columns(["necessity", "response_tokens", "necessity_status"])
    assert select_diverse(bare, 3, rule=Random()).recipe.scorers == ()


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


def test_a_rule_may_use_further_columns():
    statuses = ["bad_row" if i == 39 else "ok" for i in range(ROWS)]
    dataset = scored_pool(statuses=statuses).add_column("length", list(range(ROWS)))
    selection = select_diverse(dataset, 3, rule=Longest())
    assert selection.indices.tolist() == [38, 37, 36]
    with pytest.raises(ColumnError, match="Longest uses the column 'length'"):
        select_diverse(dataset.remove_columns("length"), 3, rule=Longest())


def test_scorer_objects_serve_as_by_and_over_of_a_pool_scored_by_map(tiny, tmp_path_factory):
    from tiny_embedders import save_sentence_transformer

    need = NecessityScorer(tiny("llava").folder)
    meaning = TextEmbedding(save_sentence_transformer(tmp_path_factory.mktemp("text")), column="meaning")
    dataset = mixed_pool(8).map(need, batched=True).map(meaning, batched=True)
    selection = select_diverse(dataset, 4, by=need, over=meaning)
    assert [recipe.scorer for recipe in selection.recipe.scorers] == [
        "NecessityScorer",
        "TextEmbedding",
    ]
    assert "meaning" not in selection.scores.column_names
    assert selection.scores.features["necessity"] == Value("float32")
    assert selection.dataset.features == Features(dataset.features)


def test_included_rows_come_first_and_are_part_of_the_budget(scored):
    ids = row_ids(scored)
    selection = select_diverse(scored, 10, include=[ids[5], ids[2]])
    assert selection.indices[:2].tolist() == [5, 2]
    assert len(selection) == len(set(selection.indices.tolist())) == 10
    assert selection.gains[:2].tolist() == [0.0, 0.0]
    assert selection.recipe.included.rows == 2
    assert selection.scores["rank"][5] == 0


def test_including_a_selection_goes_on_with_it(scored):
    first = select_diverse(scored, 8, seed=3)
    more = select_diverse(scored, 20, seed=3, include=first)
    whole = select_diverse(scored, 20, seed=3)
    np.testing.assert_array_equal(more.indices, whole.indices)
    np.testing.assert_array_equal(more.gains, whole.gains)
    assert more.recipe.included.recipe == first.recipe
    assert Recipe.from_json(json.loads(json.dumps(more.recipe.to_json()))) == more.recipe


def test_excluded_rows_are_counted_and_never_picked(scored):
    out = select_diverse(scored, 10, rule=Random())
    rest = select_diverse(scored, 30, rule=TopScore(), exclude=out)
    assert not {*rest.indices.tolist()} & {*out.indices.tolist()}
    assert rest.recipe.dropped == {"excluded": 10}
    assert rest.recipe.excluded.rows == 10
    assert rest.recipe.excluded.recipe.rule == RuleCall(name="Random")


def test_included_rows_that_cannot_be_picked_are_left_out_and_counted():
    dataset = scored_pool(statuses=["too_long", *["ok"] * (ROWS - 1)])
    selection = select_diverse(dataset, 5, include=row_ids(dataset)[:2])
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
def test_rows_that_do_not_fit_are_an_error(scored, budget, include, exclude, error, message):
    ids = row_ids(scored)
    include, exclude = ([ids[i] if isinstance(i, int) else i for i in rows] for rows in (include, exclude))
    with pytest.raises(error, match=message):
        select_diverse(scored, budget, include=include, exclude=exclude)


RANDOMLESS = [
    TopScore(),
    TopScore(lowest=True),
    NeighborPenalty(),
    NeighborPenalty(rescale="minmax", gamma=0.5),
]


@pytest.mark.parametrize("rule", RANDOMLESS, ids=repr)
def test_extending_equals_the_batch_that_leaves_out_the_rows_passed_over(scored, rule):
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
    assert more.recipe.rule == first.recipe.rule


def test_extending_with_an_equal_row_or_other_columns(scored):
    first = select_diverse(scored.select(range(20)), 5)
    assert len(first.extend(scored.select(range(20)), 20)) == 25
    with pytest.raises(ColumnError, match=r"got others in \['embedding'\]"):
        first.extend(scored.remove_columns("embedding"), 2)


def test_extending_keeps_the_balance(scored):
    kind = scored.add_column("kind", ["a", "a", "a", "b"] * (ROWS // 4))
    first = select_diverse(kind.select(range(20)), 6, balance="kind", balance_quota="uniform")
    more = first.extend(kind.select(range(20, ROWS)), 4)
    assert more.recipe.balance == Balance(column="kind", quota="uniform")
    assert [more.dataset["kind"][:].count(value) for value in "ab"] == [5, 5]


def test_extending_picks_so_many_of_the_new_rows_whatever_is_left_out():
    vectors = [None if i in (0, 2) else [float(i)] * WIDTH for i in range(ROWS)]
    dataset = scored_pool(scores=[float(-i) for i in range(ROWS)], vectors=vectors)
    first = select_diverse(dataset.select(range(20)), 6, rule=TopScore())
    more = first.extend(dataset.select(range(20, ROWS)), 3, rule=NeighborPenalty())
    assert more.recipe.included.left_out == {"bad_row": 2}
    assert [sum(more.indices < 6), sum(more.indices >= 6)] == [4, 3]


def test_extending_wants_the_same_weights_wherever_they_lie(tiny, tmp_path):
    ours, theirs = tiny("llava").folder, tiny("idefics3").folder
    moved = shutil.copytree(ours, tmp_path / "moved")
    pool, new = mixed_pool(12).select(range(6)), mixed_pool(12).select(range(6, 12))
    first = select_diverse(score(pool, NecessityScorer(ours)), 3, rule=TopScore())
    assert len(first.extend(score(new, NecessityScorer(str(moved), batch_size=2)), 2)) == 5
    others = score(new, NecessityScorer(theirs))
    with pytest.raises(ColumnError, match=r"'necessity' by the selection's scorer, got .*\['identity'\]"):
        first.extend(others, 2)
    assert len(first.extend(others, 2, rule=Random())) == 5
    assert len(first.extend(new.map(NecessityScorer(theirs), batched=True), 2)) == 5


@pytest.mark.parametrize(("quota", "counts"), [("proportional", [7, 3]), ("uniform", [5, 5])])
def test_a_column_may_be_balanced(scored, quota, counts):
    kind = scored.add_column("kind", ["a"] * 28 + ["b"] * 12)
    selection = select_diverse(kind, 10, balance="kind", balance_quota=quota)
    assert [selection.dataset["kind"][:].count(value) for value in "ab"] == counts
    assert selection.recipe.balance == Balance(column="kind", quota=quota)
    with pytest.raises(ColumnError, match="balance: expected a column, got 'mind'"):
        select_diverse(kind, 10, balance="mind")


@pytest.mark.parametrize("values", [[1, None], [1.5, math.nan], ["a", None], [True, None]], ids=repr)
def test_rows_without_a_group_are_one_group(scored, values):
    kind = scored.add_column("kind", [values[i % 2] for i in range(ROWS)])
    rule = GroupedSampling(groups="kind", quota="uniform")
    selection = select_diverse(kind, 10, rule=rule)
    assert sum(i % 2 for i in selection.indices.tolist()) == 5


def test_a_group_is_no_list(scored):
    with pytest.raises(ColumnError, match="expected single values in 'embedding'"):
        select_diverse(scored, 5, rule=GroupedSampling(groups="embedding"))
