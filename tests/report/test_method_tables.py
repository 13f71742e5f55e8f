"""The tables of filters and kinds on a card."""

import re

import pytest
from datasets import Dataset
from recipes import with_recipe

from hf_vitselect.report.method_tables import answer_table, filter_notes, filter_table, kind_table, quota_note
from hf_vitselect.rules import TopScore
from hf_vitselect.selection import CleanBalanced, Method
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.select_diverse import select_diverse


@pytest.fixture(scope="module")
def recipe(scored_pool: Dataset) -> Recipe:
    return select_diverse(scored_pool, 10, rule=TopScore()).recipe


def changed(recipe: Recipe, **changes: object) -> Recipe:
    return Recipe.from_json(recipe.to_json() | changes)


def test_skipped_filter_says_why(scored_pool: Dataset) -> None:
    plain = scored_pool.remove_columns("embedding")
    with pytest.warns(UserWarning, match="UnusedImage is skipped"):
        recipe = select_diverse(plain, 10, method=CleanBalanced()).recipe
    line = next(line for line in filter_table(recipe).splitlines() if "`UnusedImage()`" in line)
    assert re.search(r"\| +\| +\| the pool has no column", line)


def test_filters_show_what_was_dropped(recipe: Recipe) -> None:
    record = {"filter": "LossTail(cut=0.85, smallest=5)", "dropped": 3, "restored": 2}
    table = filter_table(changed(recipe, filters=[record]))
    assert [cell.strip() for cell in table.splitlines()[2].split("|")] == [
        *("", "`LossTail(smallest=5)`", "3", "2", "")
    ]


@pytest.mark.parametrize("odd", [None, "x", [1], {"x": "y"}, {"x": {"moved": "y"}}])
def test_odd_thresholds_are_left_out(recipe: Recipe, odd: object) -> None:
    names = ("cut", "kinds", "too_large", "answers")
    thresholds = dict.fromkeys(names, odd)
    records = [{"filter": f"{name}()", "thresholds": thresholds} for name in ("LossTail", "UnusedImage")]
    odd = changed(recipe, filters=[{"filter": "Mine(", "thresholds": thresholds}, *records])
    assert filter_notes(odd) == []
    assert answer_table(odd) == ""


def test_notes_are_the_filters_own(recipe: Recipe) -> None:
    unused = {"kinds": {"a fact": -0.01}, "too_large": {"a list": 0.05}}
    records = [
        {"filter": "UnusedImage()", "thresholds": unused},
        {"filter": "LossTail(cut=0.85)", "thresholds": {"cut": 0.9}},
        {"filter": "Mine()", "thresholds": {"cut": 0.9}},
        {"filter": "NearDuplicates()", "thresholds": {"ignored": "embedding"}},
    ]
    assert filter_notes(changed(recipe, filters=records)) == [
        "`UnusedImage`: whole kinds, by the share of the loss that their images save&#58; &#39;a fact&#39; "
        "(-1.0%); kinds too large to drop&#58; &#39;a list&#39; (5.0%).",
        "`LossTail`: losses from quantile 0.9 up of their kind and answer.",
        "`NearDuplicates`: images are compared by a hash&#58; no record says that ClipEmbedding made "
        "&#39;embedding&#39;.",
    ]


def test_notes_are_whole(recipe: Recipe) -> None:
    shares = {f"{letter * 100}": [0.5, 0.25] for letter in "xyz"}
    answers = {"a kind of question " * 9: {"moved": 0.05, "shares": shares}}
    kinds = {f"kind {i} {'of a question ' * 9}": 0.01 * i for i in range(9)}
    thresholds = {"kinds": kinds, "too_large": {}, "answers": answers}
    (note,) = filter_notes(changed(recipe, filters=[{"filter": "UnusedImage()", "thresholds": thresholds}]))
    assert "and 4 more; single rows moved the answers of kind" in note
    assert note.endswith(f"&#39;{'z' * 59}…&#39; 50.0% to 25.0%.")


def test_most_moved_answers_come_first(recipe: Recipe) -> None:
    answers = {
        "little": {"moved": 0.01, "shares": {"no": [0.5, 0.49]}},
        "much": {"moved": 0.2, "shares": {"no": [0.5, 0.3], "yes": [0.5, 0.7]}},
    }
    table = answer_table(changed(recipe, filters=[{"filter": "Mine()", "thresholds": {"answers": answers}}]))
    assert "`much`   | 20.0% | no 50.0% to 30.0%, yes 50.0% to 70.0%" in table.splitlines()[2]


def test_kinds_add_up(scored_pool: Dataset) -> None:
    recipe = select_diverse(scored_pool, 10, method=Method(kinds="kind", need=1.0)).recipe
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in kind_table(recipe).splitlines()]
    assert rows[0] == ["kind", "pool", "left", "picked", "picked of left", "mean necessity"]
    assert sum(int(row[1]) for row in rows[2:]) == 38
    assert sum(int(row[3]) for row in rows[2:]) == 10
    assert [int(row[1]) for row in rows[2:]] == sorted((int(row[1]) for row in rows[2:]), reverse=True)


def test_quotas_are_in_words(recipe: Recipe) -> None:
    note = quota_note(changed(recipe, method='Method(kinds="a", need=0.5, by="x", rule=Random())'))
    weighed = "times the mean `x` of these rows to the power 0.5"
    assert note == f"A kind's share of the budget is its rows left, {weighed}."
    method = 'Method(kinds="a", need=0.5, by="x", rule=Random())'
    note = quota_note(changed(recipe, method=method, need_skipped="got only 0"))
    assert note == "A kind's share of the budget is its rows left. Its need was skipped: got only 0."
    note = quota_note(changed(recipe, method='Method(kinds="a", quota="uniform", rule=Random())'))
    assert note == "A kind's share of the budget is the same for all kinds."
    assert quota_note(changed(recipe, method="Mine(rule=Random())")) == ""


def test_small_kinds_share_a_line(recipe: Recipe) -> None:
    share = {"left": 2, "picked": 1, "weight": 1.0}
    shares = [{**share, "name": f"k{i}", "rows": 100 - i, "score": float(i)} for i in range(43)]
    last = kind_table(changed(recipe, by="necessity", shares=shares)).splitlines()[-1]
    assert [cell.strip() for cell in last.split("|")][1:-1] == ["3 others", "177", "6", "3", "50.0%", "41"]


def test_kinds_have_an_example(scored_pool: Dataset) -> None:
    kinds = {"form": "template", "kinds": [{"question": "what is", "examples": ["What is it?", "b"]}]}
    kinds["kinds"].append({"question": "(others)"})
    shares = [{"name": "what is", "rows": 3, "left": 2, "picked": 1, "score": None, "weight": 1.0}]
    selection = select_diverse(scored_pool, 10, rule=TopScore())
    shown = kind_table(with_recipe(selection, kinds=kinds, shares=shares).recipe)
    assert "| `what is` | What is it? |    3 |    2 |      1 | 50.0% " in shown
