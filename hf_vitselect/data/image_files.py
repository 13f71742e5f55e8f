"""Images that are files: which ones the rows name, whether they have changed, and their bytes."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import Layout, find_layout
from hf_vitselect.data.fetching import is_url
from hf_vitselect.data.image_roots import image_access, mapped_dataset, mark_access
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import IMAGES, read_rows, read_table, undecoded
from hf_vitselect.errors import LayoutError, RowError

_STORES_INLINE_IMAGES = ("arrow.json", "image", "url", "path", "base64", "bytes")
_SHOWN = 3  # paths that a summary names
_IMAGES = pa.list_(
    pa.struct({"bytes": pa.binary(), "path": pa.string(), "status": pa.string(), "reason": pa.string()})
)


def image_files(tables: Iterable[pa.Table]) -> dict[str, tuple[int, int] | None]:
    """Size in bytes and modification time in ns of every image file that rows name; None if it is missing.

    Of a member of an archive, they are those of the archive; of a URL, those of the fetched file.
    """
    named = {image.path or "": image for table in tables for image in _named(table)}
    return {path: _state(named[path]) for path in sorted(named)}


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
    """The rows with the bytes of the images that they name, in a column of their own, for other machines."""
    if not pc.any(_may_name_files(table, find_layout(table.column_names))).as_py():
        return table
    return table.append_column(IMAGES, pa.array(map(_images, read_table(table)), _IMAGES))


def _images(row: Conversation | RowError) -> list[dict[str, Any]] | None:
    """A row's images with their bytes, or why they cannot be read; None if the row has them all."""
    if isinstance(row, RowError) or all(image.data is not None for image in row.images):
        return None
    return [_image(image) for image in row.images]


def _image(image: RowImage) -> dict[str, Any]:
    try:
        return {"bytes": image.encoded(), "path": image.path}
    except RowError as error:
        return {"path": image.path, "status": error.status, "reason": error.message}


def _stored_rows(dataset: Dataset) -> Iterator[pa.Table]:
    """All stored rows, selected or not, in no order, without reading image bytes."""
    try:
        columns = list(find_layout(dataset.column_names).needed_columns)
    except LayoutError:  # Scorers of columns are mapped over any dataset.
        return
    access = image_access(dataset)
    for batch in dataset.data.table.select(columns).to_batches(max_chunksize=1000):
        yield mark_access(pa.Table.from_batches([batch]), access)


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
        return pa.array([True] * len(table), pa.bool_())
    may_name = pa.array([False] * len(table), pa.bool_())
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


def _state(image: RowImage) -> tuple[int, int] | None:
    try:
        return image.file().state()
    except (OSError, ValueError, RowError):
        return None


def names_urls(dataset: Dataset) -> bool:
    """Whether a row names an image by a URL that is not fetched."""
    images = (image for table in undecoded(dataset) for image in _named(table))
    return any(is_url(image.path or "") and not image.access.fetch_urls for image in images)


def missing_images(dataset: Dataset, columns: Iterable[str] | None = None) -> str:
    """The number of rows with a missing image, and the first three paths tried; empty without one.

    It is for the user of this machine: it names folders.
    """
    missing = {
        i
        for name in (f"{column}_status" for column in columns or dataset.column_names)
        if name in dataset.column_names
        for i, status in enumerate(read_column(dataset, name).to_pylist())
        if status == "image_missing"
    }
    access = image_access(dataset)
    rows, tried = 0, dict[str, None]()
    for read in read_rows(dataset.select(sorted(missing))):
        images = read.images if isinstance(read, Conversation) else None
        if images == ():
            continue  # a scorer needed an image, such as `ImageGain`, but the row names none
        rows += 1
        if images and len(tried) < _SHOWN:
            lost = [image.path for image in images if image.path and _state(image) is None]
            tried |= dict.fromkeys(map(access.tried, lost))
    paths = list(tried)[:_SHOWN]
    return f"{rows:,} rows" * (rows > 0) + (f"; tried {', '.join(paths)}" if paths else "")
