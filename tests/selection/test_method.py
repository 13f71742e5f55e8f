"""One object says how a subset is chosen: its text, its columns, its scorers, and what it picks."""

from itertools import pairwise

import numpy as np
import pytest
from random_pool import ROWS, random_pool

from hf_vitselect import select_diverse
from hf_vitselect.call_text import write_call
from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.errors import UsageError
from hf_vitselect.rules import GroupedSampling, NeighborPenalty, Random, TopScore
from hf_vitselect.selection import CleanBalanced, Method, MLLMSelector, SelfFilter
from hf_vitselect.selection.method import NAMED, read_method
from hf_vitselect.selection.recipe import Recipe

KINDS = ["a", "a", "a", "b"] * (ROWS // 4)


@pytest.fixture
def scored():
    return random_pool(scores=np.linspace(1, 2, ROWS).tolist()).add_column("kind", KINDS)


@pytest.mark.parametrize("kind", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("whole", [False, True])
def test_every_method_is_text(kind, whole):
    method = kind()
    assert read_method(write_call(method, whole=whole)) == method
    assert write_call(method) == f"{kind.__name__}()"


def test_rule_text_makes_a_method():
    assert read_method("TopScore(lowest=True, by='net')") == Method(rule=TopScore(lowest=True), by="net")
    assert read_method("Random", by="net").by == "net"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Methd()", "did you mean 'Method'"),
        ("CleanBalanced(neeed=1)", "got 'neeed'; did you mean 'need'"),
        ("CleanBalanced(need=-1)", "need: expected 0 or more, got -1"),
        ("Method(rule=3)", "rule: expected"),
        ("QuestionKinds()", "expected a method such as CleanBalanced"),
    ],
)
def test_wrong_texts_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_method(text)


def test_papers_methods_have_their_rules():
    assert (MLLMSelector().rule, MLLMSelector().by) == (GroupedSampling(), "necessity")
    assert SelfFilter().rule == NeighborPenalty(rescale="minmax")
    assert SelfFilter().by == "score_net"


def test_scorers_follow_the_columns():
    def columns(method, clip="clip"):
        return [scorer.column for scorer in method.scorers("seed", clip)]

    assert columns(Method()) == []
    assert columns(MLLMSelector()) == ["necessity"]
    assert columns(SelfFilter(by="necessity")) == ["necessity", "embedding"]
    assert "necessity" in columns(CleanBalanced())
    with pytest.raises(UsageError, match=r"got 'score_net'; train a ScoreNet .*docs/guides/self_filter\.md"):
        SelfFilter().scorers("seed", "clip")


def test_random_draws_ignore_the_order(scored):
    order = np.random.default_rng(0).permutation(ROWS)
    one, other = (select_diverse(pool, 12, rule=Random()) for pool in (scored, scored.select(order)))
    assert set(one.row_ids) == set(other.row_ids)


@pytest.mark.parametrize("method", [Method(), Method(kinds="kind"), Method(kinds="kind", need=2.0)], ids=repr)
def test_larger_budgets_contain_smaller_ones(scored, method):
    picks = [set(select_diverse(scored, budget, method=method).row_ids) for budget in range(1, ROWS + 1)]
    assert all(few < more for few, more in pairwise(picks))


def test_a_changed_row_changes_one_pick(scored):
    first = select_diverse(scored, 12, rule=Random())
    gone = first.indices[0]
    rest = scored.select([i for i in range(ROWS) if i != gone])
    assert len(set(first.row_ids) - set(select_diverse(rest, 12, rule=Random()).row_ids)) == 1


def test_seeds_draw_other_rows(scored):
    one, other = (set(select_diverse(scored, 12, rule=Random(), seed=seed).row_ids) for seed in (0, 1))
    assert one != other


def test_need_weighs_kinds():
    scores = [4.0 if kind == "b" else 1.0 for kind in KINDS]
    pool = random_pool(scores=scores).add_column("kind", KINDS)
    plain, weighed = (select_diverse(pool, 16, method=Method(kinds="kind", need=need)) for need in (0.0, 0.5))
    assert [share.picked for share in plain.recipe.shares] == [12, 4]
    # 30 x 1 and 10 x 2 rows' worth: 3 to 2.
    assert [share.weight for share in weighed.recipe.shares] == [30.0, 20.0]
    assert [share.picked for share in weighed.recipe.shares] == [10, 6]


def test_need_refuses_negative_scores():
    pool = random_pool(scores=[-1.0] * ROWS).add_column("kind", KINDS)
    with pytest.raises(ValueError, match="need: expected scores of 0 or more in 'necessity'"):
        select_diverse(pool, 5, method=Method(kinds="kind", need=1.0))


def test_kinds_of_zeros_have_no_need():
    scores = [0.0 if kind == "b" else 1.0 for kind in KINDS]
    pool = random_pool(scores=scores).add_column("kind", KINDS)
    for rows, picked in ((16, [16, 0]), (32, [30, 2])):
        recipe = select_diverse(pool, rows, method=Method(kinds="kind", need=0.5)).recipe
        assert [share.picked for share in recipe.shares] == picked
        assert recipe.need_skipped is None


def test_zeros_skip_need():
    pool = random_pool(scores=[0.0] * ROWS).add_column("kind", KINDS)
    need, plain = (Method(kinds="kind", need=need) for need in (0.5, 0.0))
    with pytest.warns(UserWarning, match="need is skipped: expected scores above 0") as warned:
        selection = select_diverse(pool.select(range(30)), 16, method=need)
    assert len(warned) == 1
    assert selection.row_ids == select_diverse(pool.select(range(30)), 16, method=plain).row_ids
    recipe = Recipe.from_json(selection.recipe.to_json())
    assert recipe.need_skipped == "expected scores above 0 in 'necessity', got only 0"
    with pytest.warns(UserWarning, match="need is skipped"):
        more = selection.extend(pool.select(range(30, ROWS)), 4)
    assert more.recipe.need_skipped == recipe.need_skipped


def test_extending_keeps_weights(scored):
    first = select_diverse(scored.select(range(20)), 8, method=Method(kinds="kind", need=1.0))
    new = scored.select(range(20, ROWS))
    more = first.extend(new, 8)
    assert more.row_ids[:8] == first.row_ids
    assert set(more.row_ids[8:]) <= set(row_ids(new))
    assert [share.weight for share in more.recipe.shares] == [share.weight for share in first.recipe.shares]
