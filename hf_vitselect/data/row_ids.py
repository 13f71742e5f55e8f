"""Row ids: the same for the same content, whatever the row order, the other columns or the machine."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset
from tqdm.auto import tqdm

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.layouts import Layout, find_layout, undecoded
from hf_vitselect.data.stored import plain_rows
from hf_vitselect.data.turns import read_image
from hf_vitselect.errors import RowError


def row_ids(dataset: Any) -> list[str]:
    """An id for every row that does not depend on the row order, other columns or the machine.

    Returns:
        For each row the sha256 of its turns and of each picture's encoded bytes (64 hex digits),
        a dash, and the number of rows before it with the same content.
    """
    seen: Counter[str] = Counter()
    ids = []
    contents = row_contents(dataset)
    for digest in tqdm(contents, total=len(dataset), desc="Hashing rows", unit="row", leave=False):
        ids.append(f"{digest}-{seen[digest]}")
        seen[digest] += 1
    return ids


def row_contents(dataset: Any) -> Iterator[str]:
    """What every row's id begins with, the hash of its content; of a stream too."""
    layout = None
    for table in undecoded(dataset):
        layout = layout or find_layout(table.column_names)
        for row in plain_rows(table):
            try:
                yield content_hash(layout.read(row))
            except RowError:  # It may have no turns to hash, but must have an id all the same.
                yield _cells_hash(layout, row)


def content_hash(row: Conversation) -> str:
    """sha256 over the canonical JSON of the turns and the sha256 of each picture's encoded bytes."""
    turns = [[turn.role, list(turn.parts)] for turn in row.turns]
    return _digest([turns, [p.digest() for p in row.images], *([row.tools] if row.tools else [])])


def _cells_hash(layout: Layout, row: Mapping[str, Any]) -> str:
    """Of a row that cannot be read: its cells as they are, but every image by its bytes, wherever it lies."""
    cells = {name: cell for name, cell in row.items() if name not in layout.image_columns}
    try:
        pictures = [read_image(cell).digest() for cell in layout.image_cells(row)]
    except (RowError, TypeError, ValueError):
        pictures = [repr(row[name]) for name in layout.image_columns]
    return _digest([cells, pictures])


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def pool_digest(ids: Sequence[str]) -> str:
    """sha256 over a pool's row ids in order: the same pool on any machine, whatever its other columns."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def column_digest(dataset: Dataset, name: str) -> str:
    """sha256 over a column's values in order."""
    return tables_digest(dataset.select_columns([name]).with_format("arrow").iter(1000))


def tables_digest(tables: Iterable[pa.Table]) -> str:
    digest = hashlib.sha256()
    for table in tables:
        for name, column in zip(table.column_names, table.columns, strict=True):
            # Taken anew, equal values have equal bytes, wherever in a larger buffer they lay.
            values = column.combine_chunks().take(pa.array(range(len(table))))
            digest.update(pa.RecordBatch.from_arrays([values], [name]).serialize())
    return digest.hexdigest()
