"""The filters of a method, one after another, relaxed until enough rows are left."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.call_text import write_call
from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows
from hf_vitselect.selection.json_part import JsonPart


@dataclass(frozen=True, kw_only=True)
class FilterRecord(JsonPart):
    """The outcome of a filter.

    Attributes:
        filter: The filter with all its arguments, as `write_call` writes it.
        dropped: Number of rows it dropped.
        restored: Number of rows it would have dropped too, had enough others been left.
        skipped: Why it was skipped.
        thresholds: What it goes by in new rows.
    """

    filter: str
    dropped: int = 0
    restored: int = 0
    skipped: str | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Dropped:
    """The rows that filters drop.

    Attributes:
        rows: int64 `[k]`, the dropped rows.
        filters: Texts `[k]`, the class of the filter that dropped each.
        reasons: Texts `[k]`.
        repeats: int64 `[k]`, the row that each repeats, or -1.
        records: One for each filter, in order.
    """

    rows: NDArray[np.int64]
    filters: Sequence[str]
    reasons: Sequence[str]
    repeats: NDArray[np.int64]
    records: tuple[FilterRecord, ...]

    def in_pool(self, usable: NDArray[np.int64]) -> "Dropped":
        """Number the rows as in the pool, from those among the `usable` ones."""
        repeats = np.where(self.repeats < 0, -1, usable[self.repeats])
        return replace(self, rows=usable[self.rows], repeats=repeats)


NOTHING_DROPPED = Dropped(np.empty(0, dtype=np.int64), (), (), np.empty(0, dtype=np.int64), ())


def run_filters(
    filters: Sequence[Filter], rows: Rows, records: Sequence[FilterRecord] | None = None
) -> Dropped:
    """Drop rows by each filter in turn, then restore some until `rows.budget` rows are left.

    The last filter is relaxed first, from its least certain row on, then the one before it. A filter whose
    column is missing, or which finds nothing to go by, is skipped with a warning.

    Args:
        filters: In order.
        rows: All that could be picked, as the first filter sees them.
        records: Those of an earlier selection, whose thresholds then decide.
    """
    outcomes: list[Drops | str] = []
    for number, each in enumerate(filters):
        drops = _find(each, rows, records[number] if records else None)
        if isinstance(drops, str):
            warnings.warn(f"{type(each).__name__} is skipped: {drops}", stacklevel=2)
        else:
            rows = replace(rows, left=_without(rows.left, drops.rows))
        outcomes.append(drops)
    missing = rows.budget - float(rows.weights[rows.left].sum())
    made: list[FilterRecord] = []
    kept: list[tuple[str, Drops, int]] = []
    for each, drops in reversed(list(zip(filters, outcomes, strict=True))):
        call = write_call(each, whole=True)
        if isinstance(drops, str):
            made.append(FilterRecord(filter=call, skipped=drops))
            continue
        stood_for = np.cumsum(rows.weights[drops.rows[::-1]])
        restored = int(np.searchsorted(stood_for, missing)) + 1 if missing > 0 else 0
        restored = min(restored, len(drops.rows))
        missing -= stood_for[restored - 1] if restored else 0
        count = len(drops.rows) - restored
        made.append(FilterRecord(filter=call, dropped=count, restored=restored, thresholds=drops.thresholds))
        kept.append((type(each).__name__, drops, count))
    kept.reverse()
    nowhere = np.empty(0, dtype=np.int64)
    return Dropped(
        rows=np.concatenate([nowhere, *(drops.rows[:count] for _, drops, count in kept)]),
        filters=[name for name, _, count in kept for _ in range(count)],
        reasons=[reason for _, drops, count in kept for reason in drops.reasons[:count]],
        repeats=np.concatenate([nowhere, *(_repeats(drops)[:count] for _, drops, count in kept)]),
        records=tuple(reversed(made)),
    )


def _find(each: Filter, rows: Rows, record: FilterRecord | None) -> Drops | str:
    """The filter's drops, or why it is skipped."""
    if record is not None and record.skipped is not None:
        return record.skipped
    absent = [rows.no_score] if each.uses_scores and rows.no_score is not None else []
    if absent := absent + [name for name in each.uses_columns if name not in rows.columns]:
        return f"the pool has no column {absent[0]!r}"
    try:
        return each.find(rows) if record is None else each.find_more(rows, record.thresholds)
    except NothingToGoByError as error:
        return str(error)


def _without(left: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    left = left.copy()
    left[rows] = False
    return left


def _repeats(drops: Drops) -> NDArray[np.int64]:
    return np.full(len(drops.rows), -1) if drops.repeats is None else drops.repeats
