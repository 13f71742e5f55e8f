"""Images that are files: which ones the rows name, whether they have changed, and their bytes."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import Layout, find_layout
from hf_vitselect.data.image_roots import find_file, image_roots, mapped_dataset, mark_roots, marked_roots
from hf_vitselect.data.images import RowImage, image_cells, read_image
from hf_vitselect.data.rows import read_table
from hf_vitselect.data.stored import plain_rows
from hf_vitselect.errors import LayoutError, RowError

_STORES_INLINE_IMAGES = ("arrow.json", "image", "url", "path", "base64", "bytes")


def image_files(tables: Iterable[pa.Table]) -> dict[str, tuple[int, int] | None]:
    """Size in bytes and modification time in ns of every image file that rows name; None if it is missing."""
    named = {image.path or "": image.roots for table in tables for image in _named(table)}
    return {path: _state(path, named[path]) for path in sorted(named)}


def files_digest(tables: Iterable[pa.Table]) -> str | None:
    """sha256 of what `image_files` returns; None if no row names a file."""
    files = image_files(tables)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest() if files else None


def mapped_files_digest() -> str | None:
    """`files_digest` of the dataset whose `map` is hashing its function, if any.

    `datasets` fingerprints a cached result from the function alone. Without this digest, rows whose files
    have changed or arrived since would keep their old scores.
    """
    mapped = mapped_dataset()
    return files_digest(_stored_rows(mapped)) if isinstance(mapped, Dataset) else None


def with_image_bytes(table: pa.Table) -> pa.Table:
    """The rows with the bytes of the images that they name, where the files exist."""
    roots = marked_roots(table)
    for name in find_layout(table.column_names).image_columns:
        try:
            cells = [_embedded(row[name], roots) for row in plain_rows(table.select([name]))]
        except (TypeError, ValueError):  # Not images. Reading the row reports it.
            continue
        image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, pa.large_list(image)))
    return table


def _embedded(cell: Any, roots: Sequence[str] | None) -> list[dict[str, Any]]:
    images = []
    for inner in image_cells(cell):
        image = replace(read_image(inner), roots=roots)
        try:
            data = image.encoded()
        except RowError:  # Scoring reports it.
            data = None
        images.append({"bytes": data, "path": image.path})
    return images


def _stored_rows(dataset: Dataset) -> Iterator[pa.Table]:
    """All stored rows, selected or not, in no order, without reading image bytes."""
    try:
        columns = list(find_layout(dataset.column_names).columns)
    except LayoutError:  # Scorers of columns are mapped over any dataset.
        return
    roots = image_roots(dataset)
    for batch in dataset.data.table.select(columns).to_batches(max_chunksize=1000):
        yield mark_roots(pa.Table.from_batches([batch]), roots)


def _named(table: pa.Table) -> Iterator[RowImage]:
    may_name = _may_name_files(table, find_layout(table.column_names)).to_pylist()
    # Sliced in runs: Arrow cannot filter string views.
    for named, run in groupby(range(len(may_name)), may_name.__getitem__):
        indices = list(run)
        for row in read_table(table.slice(indices[0], len(indices))) if named else []:
            if isinstance(row, Conversation):
                yield from (image for image in row.images if image.data is None and image.path)


def _may_name_files(table: pa.Table, layout: Layout) -> pa.Array:
    """A mask of the rows to read: none where the pool holds the bytes of all images."""
    kinds = {name: str(table.schema.field(name).type) for name in layout.text_columns}
    as_text = any("string" in kinds[name][:12] for name in kinds.keys() - {"prompt", "completion"})
    if as_text or any(word in kind for kind in kinds.values() for word in _STORES_INLINE_IMAGES):
        return pa.array([True] * len(table))
    may_name = pa.array([False] * len(table))
    for name in layout.image_columns:
        may_name = pc.or_(may_name, _lacks_bytes(table.column(name).combine_chunks()))
    return may_name


def _lacks_bytes(cells: pa.Array) -> pa.Array:
    if pa.types.is_struct(cells.type) and cells.type.get_field_index("bytes") >= 0:
        data = pc.struct_field(cells, "bytes")
        if pa.types.is_null(data.type):
            return pc.is_null(data)
        return pc.less(pc.fill_null(pc.binary_length(data), 0), 1)
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        rows = pc.filter(pc.list_parent_indices(cells), _lacks_bytes(pc.list_flatten(cells)))
        return pc.is_in(pa.array(range(len(cells)), rows.type), rows)
    return pc.is_valid(cells)


def _state(path: str, roots: Sequence[str] | None) -> tuple[int, int] | None:
    try:
        state = os.stat(find_file(path, roots))
    except (OSError, ValueError, RowError):
        return None
    return state.st_size, state.st_mtime_ns
