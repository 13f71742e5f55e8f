"""Score and embedding columns as arrays, and which of their rows can be picked."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, List, Sequence, Value
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError


def read_column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """A column as it lies in Arrow."""
    return dataset.select_columns([name]).with_format("arrow")[:].column(0)


def read_scores(dataset: Dataset, column: str) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """A numeric column.

    Returns:
        The scores, float64 of shape (rows,), 0 where null; and each row's status, ``ok`` or why it
        cannot be picked: what the column's status column says, ``bad_row`` for a null, ``non_finite``.

    Raises:
        ColumnError: if the column is not numeric.
    """
    kind = dataset.features[column]
    if not _is_numeric(kind):
        raise ColumnError(f"expected numbers in {column!r}, got {kind}; give a numeric column as by=")
    array = read_column(dataset, column)
    scores = pc.fill_null(pc.cast(array, pa.float64()), 0.0).to_numpy()
    return scores, _statuses(dataset, column, array, np.isfinite(scores))


def read_features(dataset: Dataset, column: str) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """A column of vectors.

    Returns:
        The vectors, float32 of shape (rows, dimensions), zeros where null; and each row's status, as in
        `read_scores`.

    Raises:
        ColumnError: if the column holds no vectors of one length.
    """
    kind = dataset.features[column]
    if not (isinstance(kind, (List, Sequence)) and _is_numeric(kind.feature)):
        raise ColumnError(f"expected vectors in {column!r}, got {kind}; give an embedding column as over=")
    array = read_column(dataset, column)
    lengths = pc.unique(pc.list_value_length(array.drop_null())).to_pylist()
    if len(lengths) > 1:
        raise ColumnError(f"expected vectors of one length in {column!r}, got lengths {sorted(lengths)[:5]}")
    features = np.zeros((len(array), lengths[0] if lengths else 0), dtype=np.float32)
    if lengths:
        features[array.is_valid().to_numpy()] = pc.list_flatten(array).to_numpy().reshape(-1, lengths[0])
    return features, _statuses(dataset, column, array, np.asarray(np.isfinite(features).all(axis=1)))


def _is_numeric(kind: Any) -> bool:
    return isinstance(kind, Value) and re.match(r"u?int|float|bool|decimal", kind.dtype) is not None


def _statuses(
    dataset: Dataset, column: str, array: pa.ChunkedArray, finite: NDArray[np.bool_]
) -> NDArray[np.object_]:
    statuses = np.full(len(dataset), "ok", dtype=object)
    if f"{column}_status" in dataset.column_names:
        recorded = read_column(dataset, f"{column}_status")
        statuses[:] = pc.fill_null(recorded, "bad_row").to_pylist()
    statuses[(statuses == "ok") & array.is_null().to_numpy()] = "bad_row"
    statuses[(statuses == "ok") & ~finite] = "non_finite"
    return statuses
