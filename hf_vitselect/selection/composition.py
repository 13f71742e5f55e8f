"""The kinds of rows in a pool and its subset."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.provenance import without_folders
from hf_vitselect.selection.json_part import JsonPart

_KINDS = ("string", "large_string", "bool")
_MOST_VALUES = 50


@dataclass(frozen=True, kw_only=True)
class ValueCount(JsonPart):
    """A value, None for a null, with its numbers of rows in pool and subset."""

    value: Any
    pool: int
    subset: int


def composition(pool: Dataset, indices: NDArray[np.int64]) -> dict[str, tuple[ValueCount, ...]]:
    """Count the values of the columns that sort rows into kinds, such as a source or a task.

    These are columns of texts or truth values with 2 to 50 distinct values, except the conversation's,
    statuses, reasons, answers of models, and columns that name files of this machine. The most frequent value
    comes first.
    """
    conversation = find_layout(pool.column_names).columns
    return {
        name: value_counts(pool, name, indices)
        for name, kind in pool.features.items()
        if isinstance(kind, Value)
        and kind.dtype in _KINDS
        and name not in conversation
        and not name.endswith(("_status", "_reason"))
        and not _is_models_answer(name, pool.column_names)
        and 2 <= pc.count_distinct(read_column(pool, name), mode="all").as_py() <= _MOST_VALUES
        and not any(
            isinstance(value, str) and without_folders(value) != value
            for value in pc.unique(read_column(pool, name)).to_pylist()
        )
    }


def _is_models_answer(name: str, columns: list[str]) -> bool:
    """Whether a column is the text that `OtherAnswer` adds."""
    status = f"{name.removesuffix('_text')}_status" if name.endswith("_text") else f"{name}_odds_status"
    return status in columns


def value_counts(pool: Dataset, name: str, indices: NDArray[np.int64]) -> tuple[ValueCount, ...]:
    """Count the values of one column, the pool's most frequent first."""
    values = read_column(pool, name)
    everywhere, picked = (Counter(column.to_pylist()) for column in (values, values.take(indices)))
    order = sorted(everywhere.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple(ValueCount(value=value, pool=count, subset=picked[value]) for value, count in order)
