"""Row ids: the same for the same content, whatever the row order, the other columns or the machine."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.dataset_layout import Layout, find_layout
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.image_roots import marked_access
from hf_vitselect.data.images import read_image
from hf_vitselect.data.rows import read_plain, undecoded
from hf_vitselect.data.stored import is_empty, plain_rows
from hf_vitselect.errors import RowError
from hf_vitselect.progress import progress

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)


def row_ids(dataset: Any) -> list[str]:
    """An id for every row: `content_hash`, a dash, and the number of equal rows before it."""
    seen: Counter[str] = Counter()
    ids = []
    contents = row_contents(dataset)
    for digest in progress(contents, total=len(dataset), title="Hashing rows", unit="row", leave=False):
        ids.append(f"{digest}-{seen[digest]}")
        seen[digest] += 1
    return ids


def row_contents(dataset: Any) -> Iterator[str]:
    """The first part of every row's id, the hash of its content; also for a stream."""
    layout = None
    for table in undecoded(dataset):
        layout, access = layout or find_layout(table.column_names), marked_access(table)
        rows = plain_rows(table)
        for row, read in zip(rows, read_plain(layout, rows, access), strict=True):
            # A row without turns to hash still needs an id.
            yield _cells_hash(layout, row, access) if isinstance(read, RowError) else content_hash(read)


def content_hash(row: Conversation) -> str:
    """sha256 of the canonical JSON of the turns and the sha256 of each image's encoded bytes."""
    turns = [[turn.role, list(turn.parts), *_tool_fields(turn)] for turn in row.turns]
    return _digest([turns, [image.digest() for image in row.images], *([row.tools] if row.tools else [])])


def _tool_fields(turn: Turn) -> list[Any]:
    """The fields that only turns of tool calls and results have."""
    calls = [[call.name, call.arguments, call.id] for call in turn.calls]
    return [calls, turn.call_id, turn.name] if any((calls, turn.call_id, turn.name)) else []


def _cells_hash(layout: Layout, row: Mapping[str, Any], access: ImageAccess) -> str:
    """Hash of a row that cannot be read: its cells as they are, but images by their bytes."""
    others = [name for name in layout.other_image_columns if not is_empty(row.get(name))]
    names = [name for name in (*layout.columns, *others) if name not in layout.image_columns]
    cells = {name: row[name] for name in names}
    try:
        images = [read_image(cell, access).digest() for cell in layout.image_cells(row)]
    except (RowError, TypeError, ValueError):
        images = [repr(row[name]) for name in layout.image_columns]
    return _digest([cells, images])


def _digest(value: Any) -> str:
    return hashlib.sha256(_CANONICAL.encode(value).encode("utf-8", "surrogatepass")).hexdigest()


def pool_digest(ids: Sequence[str]) -> str:
    """sha256 of a pool's row ids in order: the same on any machine, whatever the other columns."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def column_digest(dataset: Dataset, name: str) -> str:
    """sha256 of a column's values in order."""
    return tables_digest(dataset.select_columns([name]).with_format("arrow").iter(1000))


def tables_digest(tables: Iterable[pa.Table]) -> str:
    """sha256 of the columns of some tables in order."""
    digest = hashlib.sha256()
    for table in tables:
        for name, column in zip(table.column_names, table.columns, strict=True):
            # `take` copies: equal values then have equal bytes, wherever they lay in a larger buffer.
            values = column.combine_chunks().take(pa.array(range(len(table))))
            digest.update(pa.RecordBatch.from_arrays([values], [name]).serialize())
    return digest.hexdigest()
