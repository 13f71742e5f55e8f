"""Score and embedding columns as arrays, and which of their rows can be picked."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, List, Sequence, Value
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError

_BATCH_ROWS = 512
_IN_MEMORY = 2**26  # bytes of vectors that are kept in memory: 64 MiB


def read_column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """A column as it lies in Arrow."""
    return dataset.select_columns([name]).with_format("arrow")[:].column(0)


def read_values(dataset: Dataset, column: str) -> NDArray[Any]:
    """A column of single values: numbers as they are, nulls as NaN; others as objects, nulls as None.

    Raises:
        ColumnError: if the column holds lists, pictures or other structures.
    """
    kind = dataset.features[column]
    if not isinstance(kind, (Value, ClassLabel)):
        raise ColumnError(
            f"expected single values in {column!r}, got {kind}; give a column of texts or numbers"
        )
    array = read_column(dataset, column)
    if _is_numeric(kind) and kind.dtype != "bool":
        values: NDArray[Any] = array.to_numpy()
        return values
    return np.array(array.to_pylist(), dtype=object)


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
    return scores, _statuses(dataset, column, array.is_null().to_numpy(), np.isfinite(scores))


def read_features(dataset: Dataset, column: str) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """A column of vectors.

    Vectors of more than 64 MiB are not copied into memory: they are a view where the column lies in one piece
    without nulls, and else a memory-mapped temporary file (in `tempfile.gettempdir()`, which `TMPDIR` sets),
    gone with the array. Both are read-only.

    Returns:
        The vectors, float32 of shape (rows, dimensions), zeros where null; and each row's status, as in
        `read_scores`.

    Raises:
        ColumnError: if the column holds no vectors of one length.
        OSError: if the temporary file finds no room.
    """
    kind = dataset.features[column]
    if not (isinstance(kind, (List, Sequence)) and _is_numeric(kind.feature)):
        raise ColumnError(f"expected vectors in {column!r}, got {kind}; give an embedding column as over=")
    null = np.zeros(len(dataset), dtype=np.bool_)
    lengths: set[int] = set()
    for start, batch in _batches(dataset, column):
        null[start : start + len(batch)] = batch.is_null().to_numpy(zero_copy_only=False)
        lengths |= set(pc.unique(pc.list_value_length(batch.drop_null())).to_pylist())
    if len(lengths) > 1:
        raise ColumnError(f"expected vectors of one length in {column!r}, got lengths {sorted(lengths)[:5]}")
    dimensions = lengths.pop() if lengths else 0

    features = _view(dataset, column, dimensions)
    if features is None or null.any() or features.nbytes <= _IN_MEMORY:
        batches = (_vectors(batch, dimensions) for _, batch in _batches(dataset, column))
        features = _gather(batches, len(dataset), dimensions)
    finite = np.ones(len(dataset), dtype=np.bool_)
    for start in range(0, len(dataset), _BATCH_ROWS):
        finite[start : start + _BATCH_ROWS] = np.isfinite(features[start : start + _BATCH_ROWS]).all(axis=1)
    return features, _statuses(dataset, column, null, finite)


def keep_rows(features: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows of an array, held as `read_features` holds them; the array itself if they are all its rows.

    Args:
        features: float32 of shape (rows, dimensions).
        rows: int64 of shape (kept,), distinct, rising.
    """
    if len(rows) == len(features):
        return features
    parts = (rows[start : start + _BATCH_ROWS] for start in range(0, len(rows), _BATCH_ROWS))
    return _gather((features[part] for part in parts), len(rows), features.shape[1])


def _batches(dataset: Dataset, column: str) -> Iterator[tuple[int, pa.Array]]:
    """Pieces of a column as they lie in Arrow, each with its first row."""
    vectors = dataset.select_columns([column]).with_format("arrow")
    for start in range(0, len(dataset), _BATCH_ROWS):
        yield start, vectors[start : start + _BATCH_ROWS].column(0).combine_chunks()


def _vectors(batch: pa.Array, dimensions: int) -> NDArray[np.float32]:
    vectors = np.zeros((len(batch), dimensions), dtype=np.float32)
    there = batch.is_valid().to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(batch).to_numpy(zero_copy_only=False)
    vectors[there] = flat.reshape(there.sum(), dimensions)
    return vectors


def _view(dataset: Dataset, column: str, dimensions: int) -> NDArray[np.float32] | None:
    """The column itself, if it lies in one piece of float32 in the data set's own order."""
    pieces = dataset.data.column(column)
    if dataset._indices is not None or pieces.num_chunks != 1 or pieces.type.value_type != pa.float32():
        return None
    if pieces.null_count or len(pieces) != len(dataset):
        return None
    flat = pc.list_flatten(pieces.chunk(0))
    return None if flat.null_count else flat.to_numpy().reshape(len(pieces), dimensions)


def _gather(batches: Iterable[NDArray[np.float32]], rows: int, dimensions: int) -> NDArray[np.float32]:
    if rows * dimensions * 4 <= _IN_MEMORY:
        return np.concatenate([np.zeros((0, dimensions), dtype=np.float32), *batches])
    # Written, not mapped for writing: a full disk is then an error, not a crash.
    with tempfile.TemporaryFile() as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch).data)
        file.flush()
        return np.memmap(file, dtype=np.float32, mode="r", shape=(rows, dimensions))


def _is_numeric(kind: Any) -> bool:
    return isinstance(kind, Value) and re.match(r"u?int|float|bool|decimal", kind.dtype) is not None


def _statuses(
    dataset: Dataset, column: str, null: NDArray[np.bool_], finite: NDArray[np.bool_]
) -> NDArray[np.object_]:
    statuses = np.full(len(dataset), "ok", dtype=object)
    if f"{column}_status" in dataset.column_names:
        recorded = read_column(dataset, f"{column}_status")
        statuses[:] = pc.fill_null(recorded, "bad_row").to_pylist()
    statuses[(statuses == "ok") & null] = "bad_row"
    statuses[(statuses == "ok") & ~finite] = "non_finite"
    return statuses
