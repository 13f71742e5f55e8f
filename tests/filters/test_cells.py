"""Cells: names of kinds and answers, pooled rare answers, and bounds by name."""

import numpy as np

from hf_vitselect.filters import Rows
from hf_vitselect.filters.cells import Cells, bounds_of_rows


def make_rows(kinds, answers, names=("what", "count")):
    return Rows.of(
        np.zeros(len(kinds)),
        kinds=np.array(kinds),
        kind_names=list(names),
        answers=np.array(answers, dtype=object),
    )


ROWS = make_rows([0, 0, 0, 0, 1, 1, 1], ["a", "b", "a", "c", "a", "a", "b"])


def test_rare_answers_share_a_cell():
    cells = Cells.of(ROWS, smallest=2)
    assert sorted(cells.names, key=str) == [("count", "a"), ("count", None), ("what", "a"), ("what", None)]
    assert [cells.names[label] for label in cells.labels] == [
        ("what", "a"),
        ("what", None),
        ("what", "a"),
        ("what", None),
        ("count", "a"),
        ("count", "a"),
        ("count", None),
    ]
    assert dict(zip(cells.names, cells.count(np.arange(7) != 0).tolist(), strict=True)) == {
        ("what", "a"): 1,
        ("what", None): 2,
        ("count", "a"): 2,
        ("count", None): 1,
    }


def test_bounds_are_sorted_by_name():
    cells = Cells.of(ROWS, smallest=2)
    numbers = np.array([np.nan if name == ("what", "a") else 1.0 for name in cells.names])
    assert cells.bounds(numbers) == [
        ["count", "a", 1.0],
        ["count", None, 1.0],
        ["what", "a", None],
        ["what", None, 1.0],
    ]


def test_rows_find_their_bounds():
    bounds = [["count", "a", 1.0], ["count", None, 2.0], ["what", "b", None]]
    rows = make_rows([0, 0, 1, 1, 2], ["a", "new", "a", "b", "a"], names=("count", "what", "other"))
    assert bounds_of_rows(rows, bounds, 9.0).tolist() == [1.0, 2.0, 9.0, 9.0, 9.0]
