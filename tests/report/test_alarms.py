"""Alarms are found where something is wrong, and only there."""

from dataclasses import replace
from typing import Any

import pytest
from datasets import Dataset
from hostile_report import verdict_on

from hf_vitselect.report.alarms import find_alarms
from hf_vitselect.report.outcomes import outcomes
from hf_vitselect.rules import Random, TopScore
from hf_vitselect.selection.filtering import FilterRecord
from hf_vitselect.selection.recipe import KindShare
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection


def rows(**columns: list[Any]) -> Dataset:
    count = len(next(iter(columns.values())))
    texts = {"question": [f"q{i}" for i in range(count)], "answer": ["yes"] * count}
    return Dataset.from_dict(texts | columns)


def texts(selection: Selection, verdicts: Any = ()) -> list[tuple[str, str]]:
    return [(alarm.level, alarm.text) for alarm in find_alarms(selection, outcomes(selection), verdicts)]


def test_good_selection_has_no_alarm() -> None:
    selection = select_diverse(rows(x=[1.0, 2.0, 3.0, 4.0]), 2, rule=TopScore(), by="x")
    assert texts(selection, [verdict_on(selection, verdict="better", low=0.1, high=0.2)]) == []


@pytest.mark.parametrize(
    ("pool", "alarm"),
    [
        (
            rows(x=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], answer=["yes"] * 5 + ["no, it is not that one"]),
            ("look", "The picked answers are longer: a median of 12 characters, against 3 in the pool."),
        ),
        (
            rows(x=[1.0, None, None, 4.0]),
            ("look", "2 rows (50.0%) could not be used: bad_row (no usable value in x or embedding)."),
        ),
        (rows(x=[2.0] * 4), ("stop", "Every row has the same x, 2: it orders nothing.")),
        (
            rows(x=[1.0, 2.0, 3.0, 4.0], question=["a", "a", "b", "b"]),
            ("look", "1 picked rows repeat another picked row exactly."),
        ),
    ],
    ids=["lengths", "unusable", "constant", "repeats"],
)
def test_fault_of_rows_is_found(pool: Dataset, alarm: tuple[str, str]) -> None:
    assert texts(select_diverse(pool, 2, rule=TopScore(), by="x"))[0] == alarm


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        (
            {"filters": (FilterRecord(filter="LossTail(cut=0.9)", dropped=1, restored=3),)},
            ("look", "LossTail kept 3 rows that it would have dropped, to fill the budget."),
        ),
        (
            {"filters": (FilterRecord(filter="UnusedImage()", skipped="no column"),)},
            ("look", "UnusedImage was skipped: no column."),
        ),
        (
            {"shares": (KindShare(name="a", rows=9, left=8, picked=0, score=1.0, weight=0.0),)},
            ("look", "None of the 8 rows left of the kind 'a' was picked."),
        ),
        (
            {"shares": (KindShare(name="a", rows=9, left=0, picked=0, score=None, weight=0.0),)},
            ("note", "The filters dropped all 9 rows of the kind 'a'."),
        ),
        (
            {"need_skipped": "expected scores above 0 in 'x', got only 0"},
            ("look", "Need was skipped: expected scores above 0 in 'x', got only 0."),
        ),
        (
            {"skill": -0.286},
            ("look", "The seed model predicts answers worse than a guess by their frequency: skill -0.29."),
        ),
    ],
    ids=["restored", "skipped", "lost", "gone", "need", "skill"],
)
def test_fault_of_the_recipe_is_found(changes: dict[str, Any], alarm: tuple[str, str]) -> None:
    selection = select_diverse(rows(x=[1.0, 2.0, 3.0, 4.0]), 2, rule=Random())
    selection.amend_recipe(**changes)
    assert texts(selection) == [alarm]


def test_worse_verdict_is_the_worst_alarm() -> None:
    selection = select_diverse(rows(x=[1.0, None, 3.0, 4.0]), 2, rule=TopScore(), by="x")
    worse = verdict_on(selection)
    unsure = replace(worse, verdict="not distinguishable", low=None, high=None)
    found = texts(selection, [unsure, worse])
    assert found[0] == ("stop", "Worse than random rows in exact match: -0.250.")
    assert found[1] == ("look", "The verdict has no interval: it rests on one fine-tune.")
    assert len(found) == 3
