"""Score and embedding columns as arrays, the status of their rows, and the reserved column names."""

import difflib
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, LargeList, List, Sequence, Value
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError, RowStatus

RESERVED = (
    "row_id",
    "selected",
    "rank",
    "excluded",
    "dropped_by",
    "dropped_reason",
    "answer_characters",
)
"""Columns of `Selection.scores` that no scorer adds. A pool may have none of its own."""

LENGTHS = "response_tokens"
"""The column of response lengths in tokens that `NecessityScorer` adds. A pool's own must hold integers."""

_STATUSES = frozenset(get_args(RowStatus))
_BATCH_ROWS = 512
_IN_MEMORY = 2**26  # bytes of vectors kept in memory: 64 MiB


def refuse_reserved(columns: Mapping[str, Any], reserved: Iterable[str] = RESERVED) -> None:
    """Refuse a pool that has columns of reserved names; a column's feature may be None if unknown."""
    taken = [name for name in reserved if name in columns]
    lengths = columns.get(LENGTHS)
    if lengths is not None and not (isinstance(lengths, Value) and re.match("u?int", lengths.dtype)):
        taken.append(LENGTHS)
    if taken:
        renames = {name: _free_name(name, columns) for name in taken}
        raise ColumnError(
            f"expected a pool without columns of reserved names, got {taken}; "
            f"rename yours with dataset.rename_columns({renames})"
        )


def refuse_missing(names: Iterable[str], columns: Iterable[str], use: str, advice: str = "add it") -> None:
    """Refuse missing columns; `use` begins the message, `advice` ends it if no existing name is similar."""
    columns = list(columns)
    for name in names:
        if name not in columns:
            near = difflib.get_close_matches(str(name), columns, n=2)
            advice = f"did you mean {' or '.join(map(repr, near))}?" if near else advice
            raise ColumnError(f"{use} {name!r}, got {columns}; {advice}")


def refuse_no_ids(dataset: Dataset, column: str | None) -> None:
    """Refuse a column that does not hold an id, a text or a whole number, for every row."""
    if column is None:
        return
    refuse_missing([column], dataset.column_names, "id_column: expected an existing column, not")
    kind = dataset.features[column]
    if not (isinstance(kind, Value) and re.match("u?int|string|large_string", kind.dtype)):
        raise ColumnError(f"id_column: expected texts or whole numbers in {column!r}, got {kind}")
    if empty := read_column(dataset, column).null_count:
        raise ColumnError(
            f"id_column: expected an id for every row in {column!r}, got {empty:,} nulls; give those rows ids"
        )


def read_column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """A column in Arrow."""
    return dataset.select_columns([name]).with_format("arrow")[:].column(0)


def read_values(dataset: Dataset, column: str) -> NDArray[Any]:
    """A column of single values, shape (rows,): numbers, NaN for null; others as objects, None for null."""
    kind = dataset.features[column]
    if not isinstance(kind, (Value, ClassLabel)):
        raise ColumnError(
            f"expected single values in {column!r}, got {kind}; give a column of texts or numbers"
        )
    array = read_column(dataset, column)
    if is_numeric(kind) and kind.dtype != "bool":
        if kind.dtype.startswith("decimal"):
            array = pc.cast(array, pa.float64())
        values: NDArray[Any] = array.to_numpy()
        return values
    return np.array(array.to_pylist(), dtype=object)


def read_scores(dataset: Dataset, column: str) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """A numeric column.

    Returns:
        The scores, float64 of shape (rows,), 0 for null; and each row's status: the one in the column's
        status column, `bad_row` for a null, `non_finite`, or `ok`.
    """
    kind = dataset.features[column]
    if not is_numeric(kind):
        raise ColumnError(
            f"expected numbers in {column!r}, got {kind}; pass a numeric column as by=, or cast this one "
            f"with dataset.cast_column({column!r}, Value('float64'))"
        )
    array = read_column(dataset, column)
    # Integers beyond 2**53 are rounded, not refused.
    scores = pc.fill_null(pc.cast(array, pa.float64(), safe=False), 0.0).to_numpy()
    return scores, _statuses(dataset, column, array.is_null().to_numpy(), np.isfinite(scores))


def read_features(dataset: Dataset, column: str) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """A column of vectors.

    Vectors of more than 64 MiB are not copied into memory. The result is then read-only: a view of the
    column if it is contiguous and without nulls, otherwise a memory-mapped temporary file in
    `tempfile.gettempdir()` (set by `TMPDIR`), which disappears with the array.

    Returns:
        The vectors, float32 of shape (rows, dimensions), zeros if missing; and each row's status, as in
        `read_scores`. An empty vector, or one of another length than most, is `bad_row`.

    Raises:
        ColumnError: if the column does not hold vectors, no length is that of more than half of them, or
            its status column is ambiguous.
        OSError: if the disk is too full for the temporary file.
    """
    kind = dataset.features[column]
    if not (isinstance(kind, (List, LargeList, Sequence)) and is_numeric(kind.feature)):
        raise ColumnError(
            f"expected vectors in {column!r}, one per row, got {kind}; "
            "pass an embedding column as over=, such as one of List(Value('float32'))"
        )
    lengths = np.zeros(len(dataset), dtype=np.int64)
    for start, batch in _batches(dataset, column):
        lengths[start : start + len(batch)] = pc.fill_null(pc.list_value_length(batch), 0).to_numpy()
    dimensions = _most_frequent_length(lengths, column)
    odd = (lengths != dimensions) | (lengths == 0)

    features = None if odd.any() else _view(dataset, column, dimensions)
    if features is None or features.nbytes <= _IN_MEMORY:
        batches = (_vectors(batch, dimensions) for _, batch in _batches(dataset, column))
        features = _gather(batches, len(dataset), dimensions)
    finite = np.ones(len(dataset), dtype=np.bool_)
    for start in range(0, len(dataset), _BATCH_ROWS):
        finite[start : start + _BATCH_ROWS] = np.isfinite(features[start : start + _BATCH_ROWS]).all(axis=1)
    return features, _statuses(dataset, column, odd, finite)


def read_statuses(dataset: Dataset, column: str) -> NDArray[np.object_] | None:
    """The statuses in a column's status column, `bad_row` for a null; None if it has no such column.

    A scorer's status column holds only statuses. One that holds none is the user's own: it is ignored,
    with a warning.
    """
    name = f"{column}_status"
    if name not in dataset.column_names:
        return None
    distinct = _distinct_texts(dataset, name)
    if not distinct & _STATUSES:
        warnings.warn(
            f"{name!r} holds no status of a scorer, so it is ignored: "
            f"no row of {column!r} is dropped because of it",
            stacklevel=2,
        )
        return None
    if odd := sorted(distinct - _STATUSES):
        raise ColumnError(
            f"expected only statuses of {column!r} in {name!r}, or none, got both {odd[0]!r} and "
            f"{min(distinct & _STATUSES)!r}; if the column is yours, rename it with "
            f"dataset.rename_column({name!r}, {_free_name(name, dataset.column_names)!r})"
        )
    texts = pc.cast(read_column(dataset, name), pa.large_string())
    return np.array(pc.fill_null(texts, "bad_row").to_pylist(), dtype=object)


def holds_statuses(dataset: Dataset, name: str) -> bool:
    """Whether a column is a scorer's status column."""
    distinct = _distinct_texts(dataset, name) if name.endswith("_status") else frozenset()
    return bool(distinct) and distinct <= _STATUSES


def keep_rows(features: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows of an array, stored as `read_features` stores them; the array itself if all are kept."""
    if len(rows) == len(features):
        return features
    parts = (rows[start : start + _BATCH_ROWS] for start in range(0, len(rows), _BATCH_ROWS))
    return _gather((features[part] for part in parts), len(rows), features.shape[1])


def _batches(dataset: Dataset, column: str) -> Iterator[tuple[int, pa.Array]]:
    """Batches of a column in Arrow, each with the number of its first row."""
    vectors = dataset.select_columns([column]).with_format("arrow")
    for start in range(0, len(dataset), _BATCH_ROWS):
        yield start, vectors[start : start + _BATCH_ROWS].column(0).combine_chunks()


def _most_frequent_length(lengths: NDArray[np.int64], column: str) -> int:
    """The length that more than half of the vectors have, 0 if all are empty."""
    values, counts = np.unique(lengths[lengths > 0], return_counts=True)
    if not len(values):
        return 0
    if 2 * counts.max() <= counts.sum():
        raise ColumnError(
            f"expected vectors of one length in {column!r}, got lengths {values[:5].tolist()}, none of "
            "more than half of the rows; embed the rows again with one model"
        )
    most = int(values[counts.argmax()])
    if others := int(counts.sum() - counts.max()):
        warnings.warn(
            f"{others} of {len(lengths)} vectors in {column!r} have another length than {most}, such as "
            f"{int(values[values != most][0])}: these rows count as bad_row",
            stacklevel=3,
        )
    return most


def _vectors(batch: pa.Array, dimensions: int) -> NDArray[np.float32]:
    """The vectors of this length; zeros in place of all others."""
    vectors = np.zeros((len(batch), dimensions), dtype=np.float32)
    fits = pc.fill_null(pc.equal(pc.list_value_length(batch), dimensions), False)
    flat = pc.list_flatten(batch.filter(fits))
    if flat.type != pa.float32():
        flat = pc.cast(flat, pa.float64(), safe=False)
    values = flat.to_numpy(zero_copy_only=False).reshape(pc.sum(fits).as_py() or 0, dimensions)
    with np.errstate(over="ignore"):  # too large for float32: infinite, hence `non_finite`
        vectors[fits.to_numpy(zero_copy_only=False)] = values
    return vectors


def _view(dataset: Dataset, column: str, dimensions: int) -> NDArray[np.float32] | None:
    """The column itself, if it is one chunk of float32 in the dataset's own order."""
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
    # Written, not mapped for writing, so that a full disk is an error and not a crash.
    with tempfile.TemporaryFile() as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch).data)
        file.flush()
        return np.memmap(file, dtype=np.float32, mode="r", shape=(rows, dimensions))


def is_numeric(kind: Any) -> bool:
    """Whether a column of this type holds one number per row; booleans are 0 and 1."""
    return isinstance(kind, Value) and re.match(r"u?int|float|bool|decimal", kind.dtype) is not None


def _distinct_texts(dataset: Dataset, name: str) -> frozenset[str]:
    """The distinct values of a column of texts, without null; empty for a column of another type."""
    kind = dataset.features[name]
    if not (isinstance(kind, Value) and "string" in kind.dtype):
        return frozenset()
    return frozenset(pc.unique(pc.cast(read_column(dataset, name), pa.large_string())).to_pylist()) - {None}


def _free_name(name: str, columns: Iterable[str]) -> str:
    taken = set(columns)
    while name in taken:
        name = f"my_{name}"
    return name


def _statuses(
    dataset: Dataset, column: str, null: NDArray[np.bool_], finite: NDArray[np.bool_]
) -> NDArray[np.object_]:
    statuses = read_statuses(dataset, column)
    if statuses is None:
        statuses = np.full(len(dataset), "ok", dtype=object)
    statuses[(statuses == "ok") & null] = "bad_row"
    statuses[(statuses == "ok") & ~finite] = "non_finite"
    return statuses
