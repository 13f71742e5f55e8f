"""Rows that have no score because they repeat another one: `score_candidates` names it in a column."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.provenance import read_record, with_record
from hf_vitselect.selection.filtering import FilterRecord
from hf_vitselect.selection.groups import Groups, or_one_kind

_RECORD = "copies"


def repeats_column(by: str) -> str:
    """Name the column next to a score: the id of the row that a row repeats, null if it repeats none."""
    return f"{by}_repeats"


def recorded_copies(
    dataset: Dataset, ids: Sequence[str], by: str, excluded: NDArray[np.int64], groups: Groups | None
) -> NDArray[np.float64]:
    """Count the rows that repeat each row of a pool by its own record, as `count_copies` does.

    Args:
        dataset: The pool.
        ids: Its row ids.
        by: Its score.
        excluded: int64, rows that do not count.
        groups: The kinds of its rows; one kind if None.
    """
    repeats, name = np.full(len(dataset), -1, dtype=np.int64), repeats_column(by)
    if name in dataset.column_names:
        position = {row_id: row for row, row_id in enumerate(ids)}
        repeats[:] = [position.get(row_id, -1) for row_id in read_column(dataset, name).to_pylist()]
        repeats[excluded] = -1
    return count_copies(repeats, groups)


def count_copies(repeats: NDArray[np.int64], groups: Groups | None) -> NDArray[np.float64]:
    """Count the rows of the same kind that repeat each row, float64 `[n]`.

    Args:
        repeats: int64 `[n]`, the row that each row repeats, or -1.
        groups: The kinds of the n rows; one kind if None.
    """
    labels = or_one_kind(groups, len(repeats)).labels
    alike = (repeats >= 0) & (labels[repeats] == labels)
    return np.bincount(repeats[alike], minlength=len(repeats)).astype(np.float64)


def record_recall(dataset: Dataset, recall: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep in a pool's record how many of its copies each filter has found, by the filter's text."""
    record = {**read_record(dataset), _RECORD: {"rows": len(dataset), "filters": recall}}
    dataset.info.description = with_record(dataset.info.description, record)


def with_recorded_recall(records: Sequence[FilterRecord], dataset: Dataset) -> tuple[FilterRecord, ...]:
    """Add what the pool's record says of the same filters, unless it is about another number of rows."""
    kept = read_record(dataset).get(_RECORD, {})
    recall = kept["filters"] if kept.get("rows") == len(dataset) else {}
    return tuple(
        replace(record, thresholds={**recall.get(record.filter, {}), **record.thresholds})
        for record in records
    )
