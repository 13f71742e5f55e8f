"""Images that are files: what scores depend on beside the rows."""

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.layouts import Layout, find_layout, read_table
from hf_vitselect.errors import LayoutError

_STORES_INLINE_IMAGES = ("arrow.json", "image", "url", "path", "base64", "bytes")


def files_digest(tables: Any) -> str | None:
    """sha256 over name, size and time of every file that holds an image of these rows; None if there is none.

    Args:
        tables: undecoded Arrow tables of one layout.
    """
    paths = {path for table in tables for path in _paths(table)}
    states = [f"{path}\0{_state(path)}\0" for path in sorted(paths)]
    return hashlib.sha256("".join(states).encode("utf-8", "surrogateescape")).hexdigest() if paths else None


def mapped_files_digest() -> str | None:
    """`files_digest` of the data set whose `map` is hashing its function just now; None if none is.

    `datasets` asks the function alone for the fingerprint of a cached result. Without this, scores of files
    that have changed since, or have only come since, would be those of the first call.
    """
    frame = sys._getframe(1)
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code is Dataset.map.__wrapped__.__code__:
            return files_digest(_stored_rows(frame.f_locals["self"]))
    return None


def _stored_rows(dataset: Dataset) -> Iterator[pa.Table]:
    """The rows as they lie, their images' bytes not looked at: in no order, and more than were selected."""
    try:
        columns = list(find_layout(dataset.column_names).columns)
    except LayoutError:  # Scorers of columns are mapped over anything.
        return
    for batch in dataset.data.table.select(columns).to_batches(max_chunksize=1000):
        yield pa.Table.from_batches([batch])


def _paths(table: pa.Table) -> Iterator[str]:
    layout = find_layout(table.column_names)
    for row in read_table(table.filter(_may_name_files(table, layout))):
        if isinstance(row, Conversation):
            yield from (picture.path for picture in row.pictures if picture.data is None and picture.path)


def _may_name_files(table: pa.Table, layout: Layout) -> pa.Array:
    """Which rows to look at: most pools hold the bytes of all images, and are then done at once."""
    kinds = [str(table.schema.field(name).type) for name in layout.text_columns]
    if any(word in kind for kind in kinds for word in _STORES_INLINE_IMAGES):
        return pa.array([True] * len(table))
    found = pa.array([False] * len(table))
    for name in layout.image_columns:
        found = pc.or_(found, _lacks_bytes(table.column(name).combine_chunks()))
    return found


def _lacks_bytes(cells: pa.Array) -> pa.Array:
    if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        return pc.is_null(pc.struct_field(cells, "bytes"))
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        rows = pc.filter(pc.list_parent_indices(cells), _lacks_bytes(pc.list_flatten(cells)))
        return pc.is_in(pa.array(range(len(cells)), rows.type), rows)
    return pc.is_valid(cells)


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns
