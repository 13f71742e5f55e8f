"""Rows made fit to leave this machine: their files are embedded, and no path of it is left."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, Image, LargeList, List, Value

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import Layout, find_layout
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.image_roots import image_access, mark_access
from hf_vitselect.data.images import RowImage, image_cells, read_image
from hf_vitselect.data.rows import read_table
from hf_vitselect.data.stored import TABLE_ROWS, encode_batch, is_empty, map_tables, plain_rows
from hf_vitselect.data.turns import without_images
from hf_vitselect.errors import HubError, RowError

_DESC = "Embedding images"
_SHOWN = 3
_STORED = "bytes: binary, path: string"
"""How `datasets` stores an image, or another kind of file."""
_SAID = ("role", "from", "content", "value", "text", "user", "assistant")
"""Keys of the text of a conversation, which may mention a path."""


def embed_files(dataset: Dataset) -> Dataset:
    """Embed the files that rows name, under their names without folders.

    Images that turns name move to a column: a turn has no place for bytes. A dataset without such files is
    returned as it is.

    Raises:
        HubError: If an image cannot be read, or if any other cell names a file of this machine.
    """
    access = image_access(dataset)
    dataset = _with_images_in_column(dataset, access)
    layout = find_layout(dataset.features)
    kinds = {field.name: str(field.type) for field in dataset.data.schema}
    texts = [name for name, kind in kinds.items() if re.search("string|json|binary", kind)]
    files = {
        name: _FileColumn(name in layout.image_columns, access)
        for name in texts
        if name in layout.image_columns or _STORED in kinds[name]
    }
    named: dict[str, str] = {}
    refused: dict[int, RowError] = {}
    for i, row in enumerate(_plain(dataset.select_columns(texts))):
        try:
            for name, column in files.items():
                column.look(row[name])
        except RowError as error:
            refused[i] = error
        # Whatever rows from the Hub say is public already.
        for name in () if access.from_hub else row.keys() - files.keys():
            for path in _local_paths(row[name], said=name in layout.columns):
                named.setdefault(name, path)
    _refuse(refused, named, len(dataset))
    outside = {name: column for name, column in files.items() if column.outside}
    if mixed := [name for name, column in outside.items() if column.remote]:
        raise HubError(
            f"expected images that are all URLs or all files, got both in {mixed}; download the images first"
        )
    if not outside:
        return dataset
    features = dataset.features.copy()
    features |= {name: column.kind(features[name]) for name, column in outside.items()}
    return map_tables(
        dataset, partial(_embed, columns=outside, schema=features.arrow_schema), features, _DESC
    )


def _with_images_in_column(dataset: Dataset, access: ImageAccess) -> Dataset:
    """The dataset, with the images of its turns in a column if any turn names a file."""
    layout = find_layout(dataset.features)
    refused: dict[int, RowError] = {}
    by_name = False
    for i, (row, conversation) in enumerate(_rows(dataset.select_columns(list(layout.columns)), access)):
        if isinstance(conversation, RowError) or not (cells := _in_turns(row, conversation, layout)):
            continue
        for image in cells:
            if image.data is None and image.path:
                by_name = True
                try:
                    image.encoded()
                except RowError as error:
                    refused[i] = error
    _refuse(refused, {}, len(dataset))
    if not by_name:
        return dataset
    if len(layout.image_columns) > 1:
        raise HubError(
            f"expected images in the turns or in columns, got both, in {list(layout.image_columns)}; "
            'publish="indices", or put all images into one column'
        )
    name = layout.image_columns[0] if layout.image_columns else "images"
    features = Features({**dataset.features, name: List(Image())})
    return map_tables(
        dataset, partial(_move, name=name, layout=layout, access=access, features=features), features, _DESC
    )


def _in_turns(row: Mapping[str, Any], conversation: Conversation, layout: Layout) -> tuple[RowImage, ...]:
    """The images that a row's turns hold, rather than its columns."""
    return () if any(not is_empty(cell) for cell in layout.image_cells(row)) else conversation.images


def _move(table: pa.Table, name: str, layout: Layout, access: ImageAccess, features: Features) -> pa.Table:
    images: list[list[dict[str, Any]]] = []
    turns: dict[str, list[Any]] = {column: [] for column in layout.text_columns}
    for row, read in zip(plain_rows(table), read_table(mark_access(table, access)), strict=True):
        moved = () if isinstance(read, RowError) else _in_turns(row, read, layout)
        held = moved or [read_image(cell) for cell in layout.image_cells(row) if not is_empty(cell)]
        images.append(
            [{"bytes": image.encoded() if moved else image.data, "path": image.path} for image in held]
        )
        for column in turns:
            cell = without_images(row[column]) if moved else row[column]
            turns[column].append(_as_stored(cell, features[column]))
    changed = {**turns, name: images}
    stored = encode_batch(changed, Features({column: features[column] for column in changed}))
    for column in changed:
        field, values = stored.schema.field(column), stored.column(column)
        if column in table.column_names:
            table = table.set_column(table.column_names.index(column), field, values)
        else:
            table = table.append_column(field, values)
    return table


def _as_stored(value: Any, kind: Any) -> Any:
    """A value in the form of its feature: a structure in a column of texts is its JSON."""
    if value is None:
        return None
    if isinstance(kind, dict):
        return {name: _as_stored(value.get(name), inner) for name, inner in kind.items()}
    if isinstance(kind, (List, LargeList)):
        return [_as_stored(item, kind.feature) for item in value]
    is_text = isinstance(kind, Value) and "string" in kind.dtype
    return value if isinstance(value, str) or not is_text else json.dumps(value)


@dataclass
class _FileColumn:
    """A column that holds files.

    Attributes:
        images: Whether it holds the conversation's images, whose cells have many forms.
        access: The files that it may name.
        outside: Whether a file is not in its row, or its name has folders.
        lists: Whether cells are lists of images.
        remote: Whether there are URLs, which are published as they are.
    """

    images: bool
    access: ImageAccess
    outside: bool = False
    lists: bool = False
    remote: bool = False

    def look(self, cell: Any) -> None:
        """Note what a cell holds, or raise a RowError if a file cannot be read."""
        self.replace_files(cell, self._note)
        self.lists |= self.images and image_cells(cell) != [cell]

    def replace_files(self, cell: Any, read: Callable[[Any], Any]) -> Any:
        """Replace all files of a cell by what `read` returns."""
        if not self.images:
            return _each_file(cell, read)
        try:
            cells = [read(image) for image in image_cells(cell)]
        except (TypeError, ValueError) as error:
            raise RowError("bad_row", f"not an image: {error}") from error
        return cells if self.lists and cell is not None else cells[0] if cells else None

    def read(self, cell: Any) -> dict[str, Any] | None:
        """Read a file with its bytes, under its name without folders."""
        image = read_image(cell, self.access)
        if image.data is None and image.path is None:
            return None
        return {"bytes": image.encoded(), "path": image.name}

    def kind(self, kind: Any) -> Any:
        """Change the column's feature to `Image` if it holds images."""
        if not self.images or isinstance(kind, Image) or isinstance(getattr(kind, "feature", None), Image):
            return kind
        return List(Image()) if self.lists else Image()

    def _note(self, cell: Any) -> None:
        image = read_image(cell, self.access)
        if image.data is None and image.path:
            try:
                image.file()
            except RowError as error:
                if error.status != "image_remote" or not isinstance(cell, str):
                    raise
                self.remote = True
                return
            self.outside = True
        self.outside |= image.path != image.name


def _plain(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for table in dataset.with_format("arrow").iter(TABLE_ROWS):
        yield from plain_rows(table)


def _rows(dataset: Dataset, access: ImageAccess) -> Iterator[tuple[dict[str, Any], Conversation | RowError]]:
    for table in dataset.with_format("arrow").iter(TABLE_ROWS):
        yield from zip(plain_rows(table), read_table(mark_access(table, access)), strict=True)


def _each_file(cell: Any, read: Callable[[Any], Any]) -> Any:
    """Read the files of a cell of any structure."""
    if isinstance(cell, list):
        return [_each_file(item, read) for item in cell]
    if not isinstance(cell, Mapping):
        return cell
    if cell.keys() == {"bytes", "path"}:
        return read(cell)
    return {name: _each_file(item, read) for name, item in cell.items()}


def _embed(table: pa.Table, columns: Mapping[str, _FileColumn], schema: pa.Schema) -> pa.Table:
    for name, column in columns.items():
        cells = [column.replace_files(row[name], column.read) for row in plain_rows(table.select([name]))]
        array = pa.array(cells, schema.field(name).type)
        table = table.set_column(table.column_names.index(name), schema.field(name), array)
    return table


def _local_paths(cell: Any, said: bool) -> Iterator[str]:
    """List the texts of a cell that name a file of this machine, except the text of a conversation."""
    if isinstance(cell, list):
        for item in cell:
            yield from _local_paths(item, said)
    elif isinstance(cell, Mapping):
        for name, item in cell.items():
            yield from _local_paths(item, said and name in _SAID)
    elif isinstance(cell, str) and not said:
        path = os.path.expanduser(cell.removeprefix("file://"))
        folder = os.path.dirname(path)
        if os.path.isabs(path) and folder != "/" and len(cell) < 4096 and os.path.isdir(folder):
            yield cell


def _refuse(refused: Mapping[int, RowError], named: Mapping[str, str], rows: int) -> None:
    if refused:
        shown = "; ".join(f"row {i}: {error}" for i, error in list(refused.items())[:_SHOWN])
        raise HubError(
            f"expected rows whose images can be embedded, got {len(refused)} of {rows} others ({shown});\n"
            'put the files there, or select without these rows (exclude=), or publish="indices"'
        )
    if named:
        raise HubError(
            f"expected rows that name no file of this machine, got {named} in the columns {list(named)};\n"
            'select from a pool without them (dataset.remove_columns), or publish="indices"'
        )
