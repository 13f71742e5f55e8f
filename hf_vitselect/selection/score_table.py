"""The scores of every row of a pool, kept with a selection."""

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import generate_random_fingerprint
from numpy.typing import NDArray

from hf_vitselect.data.columns import LENGTHS, holds_statuses, is_numeric, read_column
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.rows import answer_characters
from hf_vitselect.errors import UNTRIED
from hf_vitselect.selection.filtering import Dropped


def score_table(
    pool: Dataset,
    ids: list[str],
    indices: NDArray[np.int64],
    excluded: NDArray[np.int64],
    dropped: Dropped,
    id_column: str | None = None,
) -> Dataset:
    """Build `Selection.scores`; see `Selection.of`."""
    conversation = find_layout(pool.column_names).columns
    numbers = [
        name
        for name, kind in pool.features.items()
        if name not in conversation and (is_numeric(kind) or holds_statuses(pool, name))
    ]
    reasons = [f"{name.removesuffix('_status')}_reason" for name in numbers if name.endswith("_status")]
    named = [id_column] if id_column and id_column not in numbers else []
    kept = [*named, *numbers, *(name for name in reasons if name in pool.column_names)]
    rank = np.full(len(pool), -1, dtype=np.int64)
    rank[indices] = np.arange(len(indices))
    columns = {"row_id": pa.array(ids, pa.string())} | {name: read_column(pool, name) for name in kept}
    statuses = [columns[name] for name in numbers if name.endswith("_status")]
    unscored = any(UNTRIED & set(column.unique().to_pylist()) for column in statuses)
    if LENGTHS not in columns or unscored:
        columns["answer_characters"] = pa.array(answer_characters(pool), pa.int64())
    if len(excluded):
        columns["excluded"] = pa.array(np.isin(np.arange(len(pool)), excluded))
    if dropped.records:
        columns |= dropped_columns(ids, dropped)
    columns |= {"selected": pa.array(rank >= 0), "rank": pa.array(rank, mask=rank < 0)}
    # datasets would hash all texts otherwise, and could not from 2 GiB on.
    return Dataset(pa.table(columns), fingerprint=generate_random_fingerprint())


def dropped_columns(ids: list[str], dropped: Dropped) -> dict[str, pa.Array]:
    """Name the filter that dropped each row, with its reason and the row it repeats; null for others."""
    by, reasons = (np.full(len(ids), None, dtype=object) for _ in range(2))
    for row, name, reason, repeated in zip(
        dropped.rows.tolist(), dropped.filters, dropped.reasons, dropped.repeats.tolist(), strict=True
    ):
        by[row] = name
        reasons[row] = reason if repeated < 0 else f"{reason}, repeats {ids[repeated]}"
    return {"dropped_by": pa.array(by, pa.string()), "dropped_reason": pa.array(reasons, pa.string())}
