"""The scores of every row of a pool, kept with a selection."""

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import LENGTHS, holds_statuses, is_numeric, read_column
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.rows import answer_characters


def score_table(
    pool: Dataset, ids: list[str], indices: NDArray[np.int64], excluded: NDArray[np.int64]
) -> Dataset:
    """Build `Selection.scores`; see `Selection.of`."""
    conversation = find_layout(pool.column_names).columns
    numbers = [
        name
        for name, kind in pool.features.items()
        if name not in conversation and (is_numeric(kind) or holds_statuses(pool, name))
    ]
    reasons = [f"{name.removesuffix('_status')}_reason" for name in numbers if name.endswith("_status")]
    kept = [*numbers, *(name for name in reasons if name in pool.column_names)]
    rank = np.full(len(pool), -1, dtype=np.int64)
    rank[indices] = np.arange(len(indices))
    columns = {"row_id": pa.array(ids, pa.string())} | {name: read_column(pool, name) for name in kept}
    if LENGTHS not in columns:
        columns["answer_characters"] = pa.array(answer_characters(pool), pa.int64())
    if len(excluded):
        columns["excluded"] = pa.array(np.isin(np.arange(len(pool)), excluded))
    columns |= {"selected": pa.array(rank >= 0), "rank": pa.array(rank, mask=rank < 0)}
    return Dataset(pa.table(columns))
