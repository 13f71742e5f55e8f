"""Filters run in order, relax from the last one on, and are skipped where they have nothing to go by."""

from dataclasses import dataclass

import numpy as np
import pytest

from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows
from hf_vitselect.selection.filtering import run_filters


@dataclass(frozen=True, kw_only=True)
class Above(Filter):
    """Drops scores above a number, the highest first."""

    number: float = 0.0

    def find(self, rows):
        found = np.flatnonzero(rows.left & (rows.scores > self.number))
        found = found[np.argsort(-rows.scores[found])]
        return Drops(found, [f"{rows.scores[i]:.0f}" for i in found], thresholds={"above": self.number})

    def find_more(self, rows, thresholds):
        return Above(number=thresholds["above"] + 1).find(rows)


@dataclass(frozen=True, kw_only=True)
class NeedsGain(Filter):
    """Drops nothing, but needs a column."""

    uses_columns = ("gain",)

    def find(self, rows):
        raise NothingToGoByError("all gains are 0")


def rows(budget, columns=None):
    return Rows(
        scores=np.arange(10.0),
        columns=columns or {},
        kinds=np.zeros(10, dtype=np.int64),
        kind_names=("all rows",),
        answers=np.full(10, "", dtype=object),
        image_features=None,
        pool=None,
        left=np.ones(10, dtype=np.bool_),
        picked=np.empty(0, dtype=np.int64),
        budget=budget,
        weights=np.ones(10),
        copies=np.zeros(10),
    )


def test_earlier_filter_drops_first():
    dropped = run_filters([Above(number=7), Above(number=5)], rows(3))
    assert dropped.rows.tolist() == [9, 8, 7, 6]
    assert list(dropped.reasons) == ["9", "8", "7", "6"]
    assert [record.dropped for record in dropped.records] == [2, 2]
    assert [record.filter for record in dropped.records] == ["Above(number=7)", "Above(number=5)"]


@pytest.mark.parametrize(("budget", "restored"), [(6, [0, 0]), (7, [0, 1]), (9, [1, 2]), (10, [2, 2])])
def test_last_filter_relaxes_first(budget, restored):
    dropped = run_filters([Above(number=7), Above(number=5)], rows(budget))
    assert sorted({*range(10)} - {*dropped.rows.tolist()}) == [*range(budget)]
    assert [record.restored for record in dropped.records] == restored


def test_missing_column_skips_filter():
    with pytest.warns(UserWarning, match="NeedsGain is skipped: the pool has no column 'gain'"):
        dropped = run_filters([NeedsGain(), Above(number=7)], rows(3))
    assert dropped.records[0].skipped == "the pool has no column 'gain'"
    assert [record.dropped for record in dropped.records] == [0, 2]


def test_nothing_to_go_by_skips_filter():
    with pytest.warns(UserWarning, match="NeedsGain is skipped: all gains are 0"):
        run_filters([NeedsGain()], rows(3, {"gain": np.zeros(10)}))


def test_recorded_thresholds_decide():
    first = run_filters([Above(number=7)], rows(3))
    again = run_filters([Above(number=7)], rows(3), first.records)
    assert again.rows.tolist() == [9]
