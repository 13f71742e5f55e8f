"""Every row of a pool has one outcome."""

import numpy as np
from datasets import Dataset

from hf_vitselect.data.row_ids import row_ids
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.report.outcomes import outcomes
from hf_vitselect.rules import TopScore
from hf_vitselect.rules.random_keys import random_keys
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse


def test_outcomes_divide_the_pool(scored_pool: Dataset) -> None:
    twice = scored_pool.remove_columns("embedding").select([*range(40), *range(0, 40, 2)])
    method = Method(rule=TopScore(), filters=(NearDuplicates(),))
    ids = select_diverse(twice, 3, rule=TopScore()).row_ids[:1]
    selection = select_diverse(twice, 9, method=method, exclude=ids)
    ended = outcomes(selection)
    rows = np.concatenate([each.rows for each in ended])
    assert sorted(rows.tolist()) == list(range(60))
    assert ended[0].rows.tolist() == selection.indices.tolist()
    dropped = sum(record.dropped for record in selection.recipe.filters)
    counts = {each.name: (each.group, len(each)) for each in ended}
    assert counts["NearDuplicates"] == ("dropped", dropped)
    unusable = {name: rows for name, (group, rows) in counts.items() if group == "unusable"}
    assert unusable == selection.recipe.dropped == {"excluded": 1, "image_error": 2}
    assert counts["not picked"] == ("left", 60 - 9 - dropped - 3)


def test_plain_selection_has_two_outcomes() -> None:
    pool = Dataset.from_dict({"question": ["a", "b", "c"], "answer": ["1", "2", "3"], "x": [1.0, 3.0, 2.0]})
    ended = outcomes(select_diverse(pool, 2, rule=TopScore(), by="x"))
    assert [(each.name, each.group, each.rows.tolist()) for each in ended] == [
        ("picked", "picked", [1, 2]),
        ("not picked", "left", [0]),
    ]


def test_rows_without_score_are_left() -> None:
    pool = Dataset.from_dict({"question": [*"abcd"], "answer": [*"1234"]})
    drawn = random_keys(row_ids(pool), 0).argsort().argsort().tolist()
    pool = pool.add_column("x", [1.0 if place < 2 else None for place in drawn])
    pool = pool.add_column("x_status", [["ok", "ok", "repeats", "not_scored"][place] for place in drawn])
    method = Method(filters=(NearDuplicates(),), by="x")
    ended = outcomes(select_diverse(pool, 2, method=method))
    assert {(each.name, each.group) for each in ended} == {
        ("picked", "picked"),
        ("repeats", "left"),
        ("not_scored", "left"),
    }
