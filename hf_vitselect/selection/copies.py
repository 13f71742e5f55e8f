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

_RECORD = "copies"


def repeats_column(by: str) -> str:
    """Name the column next to a score: the id of the row that a row repeats, null if it repeats none."""
    return f"{by}_repeats"


def recorded_repeats(dataset: Dataset, ids: Sequence[str], by: str) -> NDArray[np.int64]:
    """Read the row that each row of a pool repeats by its own record, int64 `[n]`, or -1.

    Args:
        dataset: The pool.
        ids: Its row ids.
        by: Its score.
    """
    name = repeats_column(by)
    if name not in dataset.column_names:
        return np.full(len(dataset), -1)
    position = {row_id: row for row, row_id in enumerate(ids)}
    repeated = read_column(dataset, name).to_pylist()
    return np.array([position.get(row_id, -1) for row_id in repeated], dtype=np.int64)


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
