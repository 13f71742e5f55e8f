"""Rows as conversations, from a dataset, a stream, an Arrow table or a mapping: the only way in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import Layout, find_layout
from hf_vitselect.data.image_access import NO_ACCESS, ImageAccess
from hf_vitselect.data.image_roots import ACCESS, image_access, mark_access, marked_access
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.messages import messages_from_text
from hf_vitselect.data.stored import is_record_of_lists, plain_rows, without_bytes
from hf_vitselect.errors import LayoutError, RowError

IMAGES = "__hf_vitselect_images"
"""The column in which `with_image_bytes` puts a row's images."""

_EMPTY = RowImage()


def undecoded(dataset: Any, batch_size: int = 1000) -> Iterator[pa.Table]:
    """The conversation columns of a dataset or stream as Arrow tables, images still encoded."""
    refuse_transform(dataset)
    columns = list(find_layout(dataset.features or dataset.column_names).needed_columns)
    access = image_access(dataset)
    for table in _tables(dataset.select_columns(columns), batch_size):
        yield mark_access(table, access)


def read_rows(dataset: Any) -> Iterator[Conversation | RowError]:
    """Every row of a dataset or stream; for a row that cannot be read, its error."""
    for table in undecoded(dataset):
        yield from read_table(table)


def read_texts(dataset: Any) -> Iterator[Conversation | RowError]:
    """Every row as `read_rows` reads it, but each image is empty: no image's bytes are loaded or copied."""
    refuse_transform(dataset)
    light = dataset.select_columns(list(find_layout(dataset.features or dataset.column_names).needed_columns))
    if isinstance(light, Dataset):  # At once: gathering the rows of a shuffled dataset would copy the bytes.
        # Without a fingerprint, datasets would hash all texts, and could not from 2 GiB on.
        table, known = without_bytes(light.data.table), light._fingerprint
        light = Dataset(table, indices_table=light._indices, fingerprint=known)
    for table in _tables(light, 1000):
        layout, rows = _plain_rows(without_bytes(table))
        for row in rows:
            try:
                read = layout.read(row)
            except RowError as error:
                yield error
            else:
                yield Conversation(read.turns, (_EMPTY,) * len(read.images), read.tools)


def _tables(dataset: Any, batch_size: int) -> Iterator[pa.Table]:
    """A dataset or stream as Arrow tables."""
    try:
        yield from dataset.with_format("arrow").iter(batch_size)
    except KeyError as error:
        if not set(error.args[:1]) & set(dataset.column_names):
            raise
        raise LayoutError(
            f"expected the column {error.args[0]!r} in every example of the stream, as its features say, got "
            "an example without it, or a function of yours that misses it; give it there, as None if need be"
        ) from error


def read_table(table: pa.Table) -> list[Conversation | RowError]:
    """Every row of an undecoded Arrow table; for a row that cannot be read, its error."""
    return read_plain(*_plain_rows(table), marked_access(table))


def read_mapping(batch: Mapping[str, Any]) -> tuple[list[Conversation | RowError], bool]:
    """The rows of a plain mapping: one row, or a batch of columns (streams, Ray).

    Returns:
        The rows, and whether the mapping was a batch.
    """
    layout = find_layout(list(batch))
    for name in layout.image_columns:
        _refuse_arrays(batch[name])
    first = batch[layout.text_columns[0]]
    if not _is_batch(first) or not _all_lists([batch[name] for name in layout.needed_columns], len(first)):
        return read_plain(layout, [batch], batch.get(ACCESS, NO_ACCESS)), False
    rows = ({name: batch[name][i] for name in layout.needed_columns} for i in range(len(first)))
    return read_plain(layout, rows, batch.get(ACCESS, NO_ACCESS)), True


def read_row(row: Mapping[str, Any]) -> Conversation:
    """One row as a plain mapping."""
    return find_layout(list(row)).read(row, row.get(ACCESS, NO_ACCESS))


def answer_characters(dataset: Any) -> list[int | None]:
    """Length of every row's answers in characters; None for a row that cannot be read."""
    refuse_transform(dataset)
    layout = find_layout(dataset.column_names)
    texts = dataset.select_columns(list(layout.text_columns)).with_format("arrow")
    return [layout.answer_characters(row) for table in texts.iter(1000) for row in plain_rows(table)]


def refuse_transform(dataset: Any) -> None:
    """Refuse a dataset with a transform: its rows are not the stored ones."""
    if isinstance(dataset, Dataset) and dataset.format["type"] == "custom":
        raise LayoutError(
            "expected a dataset whose rows are stored, got one with a transform;\n"
            "store its rows with dataset.map(the transform, batched=True) after dataset.reset_format(), "
            "or remove the transform with dataset.with_format(None)"
        )


def _plain_rows(table: pa.Table) -> tuple[Layout, list[dict[str, Any]]]:
    """The layout of an undecoded Arrow table, and its rows with only the columns of that layout."""
    layout = find_layout(_columns(table))
    columns = [*layout.needed_columns, *([IMAGES] if IMAGES in table.column_names else [])]
    return layout, plain_rows(table.select(columns))


def _columns(table: pa.Table) -> Sequence[str] | Features:
    """The names of the table's columns; its features instead where the names alone may mislead."""
    metadata = (table.schema.metadata or {}).get(b"huggingface", b"")
    # Parsing features takes time, and `map` may call this for every row.
    named = {"images", "image"} & set(table.column_names)
    clear = (
        metadata.count(b'"Image"') < 2
        if named
        else b'"Image"' not in metadata and b'"binary"' not in metadata
    )
    if clear and not any(kind in metadata for kind in (b'"ClassLabel"', b'"Audio"', b'"Video"')):
        return table.column_names
    try:
        return Features.from_arrow_schema(table.schema)
    except (TypeError, ValueError, NotImplementedError):
        return table.column_names


def read_plain(
    layout: Layout, rows: Iterable[Mapping[str, Any]], access: ImageAccess
) -> list[Conversation | RowError]:
    """Rows of plain values; images behind URLs are fetched in parallel, if they are to be fetched."""
    read: list[Conversation | RowError] = []
    for row in rows:
        try:
            conversation = layout.read(row, access)
        except RowError as error:
            read.append(error)
        else:
            loaded = row.get(IMAGES)
            read.append(conversation if loaded is None else replace(conversation, images=_loaded(loaded)))
    access.prefetch(image.path for row in read if isinstance(row, Conversation) for image in row.images)
    return read


def _loaded(cells: Iterable[Mapping[str, Any]]) -> tuple[RowImage, ...]:
    """The images that `with_image_bytes` has read."""
    failures = [RowError(cell["status"], cell["reason"]) if cell["status"] else None for cell in cells]
    return tuple(
        RowImage(data=cell["bytes"], path=cell["path"], failure=failure)
        for cell, failure in zip(cells, failures, strict=True)
    )


def _is_batch(first: Any) -> bool:
    """Whether the first text column of a mapping holds several rows' cells, not one row's."""
    if first is None or isinstance(first, (str, Mapping)) or not hasattr(first, "__len__") or len(first) == 0:
        return False
    inner = first[0]
    if isinstance(inner, str):  # One row's messages may be `Json` that has not been decoded.
        return inner.lstrip()[:1] != "{" or messages_from_text(f"[{inner}]") is None
    return not isinstance(inner, Mapping) or is_record_of_lists(inner)


def _all_lists(columns: Iterable[Any], rows: int) -> bool:
    """Whether every column may hold the cells of this many rows."""
    return all(
        hasattr(column, "__len__") and not isinstance(column, (str, bytes, Mapping)) and len(column) == rows
        for column in columns
    )


def _refuse_arrays(cell: Any) -> None:
    while isinstance(cell, (list, tuple)) or str(getattr(cell, "dtype", "")) == "object":
        if len(cell) == 0:
            return
        cell = cell[0]
    if getattr(cell, "ndim", 0) >= 2:
        raise LayoutError(
            f"expected encoded images, got {type(cell).__name__}s; "
            "remove the dataset's format first, with dataset.with_format(None)"
        )
