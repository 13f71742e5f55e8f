"""Images that are files: what scores depend on beside the rows."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.images import RowImage, find_file
from hf_vitselect.data.layouts import Layout, find_layout, read_table
from hf_vitselect.data.roots import image_roots, mapped_dataset, mark_roots
from hf_vitselect.errors import LayoutError, RowError

_STORES_INLINE_IMAGES = ("arrow.json", "image", "url", "path", "base64", "bytes")


def image_files(tables: Iterable[pa.Table]) -> dict[str, tuple[int, int] | None]:
    """Size and time of every file that is an image of these rows, by its name; None where it is missing.

    Args:
        tables: undecoded, each of one layout.
    """
    named = {picture.path or "": picture.roots for table in tables for picture in _named(table)}
    return {path: _state(path, named[path]) for path in sorted(named)}


def files_digest(tables: Iterable[pa.Table]) -> str | None:
    """sha256 over what `image_files` finds; None if that is nothing."""
    files = image_files(tables)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest() if files else None


def mapped_files_digest() -> str | None:
    """`files_digest` of the data set whose `map` is hashing its function just now; None if none is.

    `datasets` asks the function alone for the fingerprint of a cached result. Without this, scores of files
    that have changed since, or have only come since, would be those of the first call.
    """
    mapped = mapped_dataset()
    return files_digest(_stored_rows(mapped)) if isinstance(mapped, Dataset) else None


def _stored_rows(dataset: Dataset) -> Iterator[pa.Table]:
    """The rows as they lie, their images' bytes not looked at: in no order, and more than were selected."""
    try:
        columns = list(find_layout(dataset.column_names).columns)
    except LayoutError:  # Scorers of columns are mapped over anything.
        return
    roots = image_roots(dataset)
    for batch in dataset.data.table.select(columns).to_batches(max_chunksize=1000):
        yield mark_roots(pa.Table.from_batches([batch]), roots)


def _named(table: pa.Table) -> Iterator[RowImage]:
    may = _may_name_files(table, find_layout(table.column_names)).to_pylist()
    # In runs, not by `filter`, which Arrow does not have for string views.
    for named, run in groupby(range(len(may)), may.__getitem__):
        indices = list(run)
        for row in read_table(table.slice(indices[0], len(indices))) if named else []:
            if isinstance(row, Conversation):
                yield from (picture for picture in row.images if picture.data is None and picture.path)


def _may_name_files(table: pa.Table, layout: Layout) -> pa.Array:
    """Which rows to look at: most pools hold the bytes of all images, and are then done at once."""
    kinds = {name: str(table.schema.field(name).type) for name in layout.text_columns}
    as_text = any("string" in kinds[name][:12] for name in kinds.keys() - {"prompt", "completion"})
    if as_text or any(word in kind for kind in kinds.values() for word in _STORES_INLINE_IMAGES):
        return pa.array([True] * len(table))
    found = pa.array([False] * len(table))
    for name in layout.image_columns:
        found = pc.or_(found, _lacks_bytes(table.column(name).combine_chunks()))
    return found


def _lacks_bytes(cells: pa.Array) -> pa.Array:
    if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        data = pc.struct_field(cells, "bytes")
        return (
            pc.is_null(data)
            if pa.types.is_null(data.type)
            else pc.less(pc.fill_null(pc.binary_length(data), 0), 1)
        )
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        rows = pc.filter(pc.list_parent_indices(cells), _lacks_bytes(pc.list_flatten(cells)))
        return pc.is_in(pa.array(range(len(cells)), rows.type), rows)
    return pc.is_valid(cells)


def _state(path: str, roots: Sequence[str] | None) -> tuple[int, int] | None:
    try:
        found = os.stat(find_file(path, roots))
    except (OSError, ValueError, RowError):
        return None
    return found.st_size, found.st_mtime_ns
