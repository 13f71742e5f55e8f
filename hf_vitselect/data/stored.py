"""Plain values of cells, whatever their stored form: records, lists, texts, numbers, bytes.

`datasets` stores values without an Arrow type as JSON text (`Json`), its old versions stored lists of records
as records of lists, and CSV stores every structure as text. Nothing here knows what a conversation is.
"""

import ast
import json
import re
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Audio, Dataset, Features, Image, IterableDataset, Json, LargeList, List, Value, Video

from hf_vitselect.progress import no_dataset_bars

TABLE_ROWS = 100
"""Rows of a table where their images are in memory."""


_WITHOUT_COMMA = re.compile(r"""['"]\s*['"]|\}\s*\n\s*\{""")


class JsonText(str):
    """The JSON of a cell of mixed types that is no text in quotes: a number, a list, or a text like one."""


UNSTORED = "__hf_vitselect_unstored"
"""The column that says why a row could not be stored as it is, in batches of `encode_batch` and in tars."""


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of an Arrow table as plain values: `Json` decoded, images not."""
    rows: list[dict[str, Any]] = table.to_pylist()
    fields = _decoders(table.schema)
    return [row | _decoded_fields(row, fields) for row in rows] if fields else rows


def without_bytes(table: pa.Table) -> pa.Table:
    """A table whose binary values that are not null are all empty, without reading them."""
    for number, field in enumerate(table.schema):
        if "binary" in str(field.type):
            chunks = [_emptied(chunk) for chunk in table.column(number).chunks]
            table = table.set_column(number, field, pa.chunked_array(chunks, field.type))
    return table


def with_plain_rows(dataset: Dataset, **more: Any) -> Dataset:
    """A dataset whose rows are those of `plain_rows`."""
    with no_dataset_bars():
        dataset = dataset.cast(_map_features(dataset.features, _undecoded))
    schema = dataset.features.arrow_schema
    if not more and not _decoders(schema):
        return dataset
    return dataset.with_transform(partial(_plain_batch, schema, more))


def map_tables(
    dataset: Dataset, change: Callable[[pa.Table], pa.Table], features: Features, desc: str
) -> Dataset:
    """Change a dataset table by table; each holds as few rows as their images need to fit into memory."""
    mapped: Dataset = dataset.with_format("arrow").map(
        change,
        batched=True,
        batch_size=TABLE_ROWS,
        writer_batch_size=TABLE_ROWS,
        features=features,
        desc=desc,
    )
    return mapped.with_format(None)


def from_text(cell: Any) -> Any:
    """A structure, also if it is stored as text: JSON, or the Python literal that CSV writers leave."""
    while isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            try:
                cell = ast.literal_eval(_with_commas(cell.strip()))
            except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError) as error:
                raise ValueError(f"expected a list or its JSON, got the text {cell[:60]!r}") from error
    return cell


def _with_commas(literal: str) -> str:
    """A Python literal with the commas that NumPy leaves out: between texts, and between two lines."""
    if not _WITHOUT_COMMA.search(literal):
        return literal
    # No text contains a line break here.
    lines = re.sub(r"\}\s*\n\s*\{", "}, {", literal).splitlines(keepends=True)
    read = tokenize.generate_tokens(iter(lines).__next__)
    tokens = [token for token in read if token.type != tokenize.NL]
    for token, following in reversed(list(pairwise(tokens))):
        if token.type == following.type == tokenize.STRING:
            row, column = token.end
            lines[row - 1] = f"{lines[row - 1][:column]},{lines[row - 1][column:]}"
    return "".join(lines)


def records(cell: Any) -> Any:
    """A list of records, also if it is stored as a record of lists (the old `Sequence`) or as text."""
    cell = from_text(cell)
    if is_record_of_lists(cell):
        return [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=True)]
    return cell


def is_record_of_lists(cell: Any) -> bool:
    """Whether this is a list of records as the old `Sequence` stores it."""
    return isinstance(cell, Mapping) and all(_is_list(values) for values in cell.values()) and len(cell) > 0


def is_empty(cell: Any) -> bool:
    """Whether a cell is empty: null, NaN, `""`, `[]`, `[null]`, `{}`, or a record of only nulls."""
    if cell is None:
        return True
    if isinstance(cell, bytes):
        return False
    if isinstance(cell, str):
        return cell.strip() in ("", "[]", "{}", "null")
    if isinstance(cell, Mapping):
        return all(is_empty(value) for value in cell.values())
    if _is_list(cell):
        return all(is_empty(value) for value in cell)
    return isinstance(cell, float) and cell != cell


def short(value: Any) -> str:
    """A value's `repr` in at most 80 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def with_features(stream: IterableDataset) -> IterableDataset:
    """A stream that knows its features, if it is made of Arrow tables; otherwise the stream itself."""
    features = stream.features
    if features is None and stream._ex_iterable.iter_arrow is not None:
        _, table = next(iter(stream._ex_iterable.iter_arrow()), (None, None))
        features = None if table is None else Features.from_arrow_schema(table.schema)
    plain = None if features is None else _map_features(features, _without_view)
    return stream if plain is None or plain == stream.features else stream.cast(plain)


def encode_batch(batch: Mapping[str, list[Any]], features: Features) -> pa.Table:
    """A stream's batch as `datasets` would store it.

    A cell that cannot be stored, such as text with a lone surrogate, becomes null; the column `UNSTORED` says
    why.
    """
    try:
        return _encode(batch, features)
    except _NOT_STORED:
        size = len(next(iter(batch.values())))
        rows = [{name: [cells[i]] for name, cells in batch.items()} for i in range(size)]
        return pa.concat_tables([_encode_row(row, features) for row in rows])


_NOT_STORED = (pa.ArrowException, TypeError, ValueError, OverflowError)


def _encode_row(row: Mapping[str, list[Any]], features: Features) -> pa.Table:
    (reason,) = row.get(UNSTORED, [None])
    cells = {}
    for name, cell in row.items():
        if name == UNSTORED:
            continue
        cells[name] = cell
        try:
            _encode({name: cell}, Features({name: features[name]}))
        except _NOT_STORED as error:
            cells[name], reason = [None], f"{name} cannot be stored: {error}"
    return _encode(cells, features).append_column(UNSTORED, pa.array([reason], pa.string()))


def _encode(batch: Mapping[str, list[Any]], features: Features) -> pa.Table:
    return Dataset.from_dict(dict(batch), features=features).with_format("arrow")[:].combine_chunks()


def _emptied(array: pa.Array) -> pa.Array:
    """The same values, nested as they are, but all binary ones empty."""
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.if_else(array.is_valid(), pa.scalar(b"", kind), pa.scalar(None, kind))
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [_emptied(values) for values in array.flatten()], fields=list(kind), mask=array.is_null()
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        values = _emptied(array.values.slice(first, last - first))
        offsets = pc.subtract(array.offsets, array.offsets[0])
        return type(array).from_arrays(offsets, values, type=kind, mask=array.is_null())
    return array  # no bytes, or in a form that hardly any pool has


def _undecoded(kind: Any) -> Any:
    return replace(kind, decode=False) if isinstance(kind, (Image, Audio, Video, Json)) else kind


def _without_view(kind: Any) -> Any:
    """Replace views, which Arrow cannot slice, take or write everywhere yet."""
    if isinstance(kind, Value) and kind.dtype in ("string_view", "binary_view"):
        return Value(kind.dtype.removesuffix("_view"))
    return kind


def _map_features(features: Features, change: Callable[[Any], Any]) -> Features:
    def visit(kind: Any) -> Any:
        if isinstance(kind, dict):
            return {name: visit(inner) for name, inner in kind.items()}
        if isinstance(kind, (List, LargeList)):
            return replace(kind, feature=visit(kind.feature))
        return change(kind)

    return Features({name: visit(kind) for name, kind in features.items()})


def _plain_batch(
    schema: pa.Schema, more: Mapping[str, Any], batch: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    fields = _decoders(schema)
    rows = len(next(iter(batch.values())))
    return {name: [value] * rows for name, value in more.items()} | {
        name: [fields[name](cell) if name in fields and cell is not None else cell for cell in cells]
        for name, cells in batch.items()
    }


def _decoders(schema: pa.Schema) -> dict[str, Callable[[Any], Any]]:
    return {field.name: decode for field in schema if (decode := _decoder(field.type))}


def _decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """A function from `to_pylist` values of this type to plain ones; None if they are plain already."""
    if isinstance(kind, pa.JsonType):
        return _load_json
    if pa.types.is_map(kind):
        return dict
    if pa.types.is_dictionary(kind):
        return _decoder(kind.value_type)
    if pa.types.is_struct(kind):
        fields = {field.name: decode for field in kind if (decode := _decoder(field.type))}
        return (lambda record: record | _decoded_fields(record, fields)) if fields else None
    item = getattr(kind, "value_type", None)  # Every kind of list has one.
    inner = _decoder(item) if isinstance(item, pa.DataType) else None
    return (lambda cells: [None if cell is None else inner(cell) for cell in cells]) if inner else None


def _decoded_fields(record: Mapping[str, Any], fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {name: decode(record[name]) for name, decode in fields.items() if record[name] is not None}


def _load_json(text: str) -> str | None:
    """The text that a `Json` cell holds; for any other value its JSON, which `from_text` reads.

    `datasets` stores a text that happens to be JSON, such as `[1, 2]`, without quotes. Only the caller knows
    whether it is a list or a text.
    """
    if text[:1] != '"':
        return None if text == "null" else JsonText(text)
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _is_list(cell: Any) -> bool:
    """Whether this is a list, or an array of objects, as pandas and NumPy make of one."""
    return isinstance(cell, (list, tuple)) or str(getattr(cell, "dtype", "")) == "object"
