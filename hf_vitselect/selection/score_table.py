"""The scores of the picked rows, kept with a selection."""

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import (
    LENGTHS,
    holds_statuses,
    is_numeric,
    read_column,
)
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.rows import answer_characters


def score_table(
    dataset: Dataset, ids: list[str], indices: NDArray[np.int64], excluded: NDArray[np.int64]
) -> Dataset:
    conversation = find_layout(dataset.column_names).columns
    numbers = [
        name
        for name, kind in dataset.features.items()
        if name not in conversation and (is_numeric(kind) or holds_statuses(dataset, name))
    ]
    rank = np.full(len(dataset), -1, dtype=np.int64)
    rank[indices] = np.arange(len(indices))
    columns = {"row_id": pa.chunked_array([pa.array(ids, pa.string())])}
    columns |= {name: read_column(dataset, name) for name in numbers}
    reasons = [f"{name.removesuffix('_status')}_reason" for name in numbers if name.endswith("_status")]
    columns |= {name: read_column(dataset, name) for name in reasons if name in dataset.column_names}
    if LENGTHS not in columns:
        columns["answer_characters"] = pa.chunked_array([pa.array(answer_characters(dataset), pa.int64())])
    if len(excluded):
        columns["excluded"] = pa.chunked_array([pa.array(np.isin(np.arange(len(dataset)), excluded))])
    columns["selected"] = pa.chunked_array([pa.array(rank >= 0)])
    columns["rank"] = pa.chunked_array([pa.array(rank, mask=rank < 0)])
    return Dataset(pa.table(columns))
