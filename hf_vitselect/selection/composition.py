"""Which kinds of rows a pool and its subset have, and how long their answers are."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.provenance import without_folders

_KINDS = ("string", "large_string", "bool")
_MOST_VALUES = 50


def make_up(pool: Dataset, indices: NDArray[np.int64]) -> dict[str, list[dict[str, Any]]]:
    """Counts every value of the columns that sort the pool's rows into kinds, such as a source or a task.

    Args:
        pool: any columns.
        indices: int64 of shape (picked,), the subset's rows.

    Returns:
        For each column of texts or truth values with 2 to 50 different ones, the values, the pool's most
        frequent first: `value` (None for a null), `pool` and `subset` (rows). Columns of the
        conversation, statuses, reasons, and names of files of this machine are no kinds.
    """
    conversation = find_layout(pool.column_names).columns
    return {
        name: _counts(pool, name, indices)
        for name, kind in pool.features.items()
        if isinstance(kind, Value)
        and kind.dtype in _KINDS
        and name not in conversation
        and not name.endswith(("_status", "_reason"))
        and 2 <= pc.count_distinct(read_column(pool, name), mode="all").as_py() <= _MOST_VALUES
        and not any(map(_is_place, pc.unique(read_column(pool, name)).to_pylist()))
    }


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and without_folders(value) != value


def _counts(pool: Dataset, name: str, indices: NDArray[np.int64]) -> list[dict[str, Any]]:
    values = read_column(pool, name)
    everywhere, picked = (Counter(column.to_pylist()) for column in (values, values.take(indices)))
    order = sorted(everywhere.items(), key=lambda item: (-item[1], str(item[0])))
    return [{"value": value, "pool": count, "subset": picked[value]} for value, count in order]
