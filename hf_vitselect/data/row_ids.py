"""Row ids: the same for the same content, whatever the row order, the other columns or the machine."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from tqdm.auto import tqdm

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.layouts import find_layout, read_pictures, read_table, undecoded
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
    for table in undecoded(dataset):
        for i, row in enumerate(read_table(table)):
            # An unreadable row has no turns to hash, but must have an id all the same.
            yield _cells_hash(table.slice(i, 1)) if isinstance(row, RowError) else content_hash(row)


def content_hash(row: Conversation) -> str:
    """sha256 over the canonical JSON of the turns and the sha256 of each picture's encoded bytes."""
    return _digest(
        [[[turn.role, list(turn.parts)] for turn in row.turns], [p.digest() for p in row.pictures]]
    )


def _cells_hash(table: pa.Table) -> str:
    """Of a table of one row: its cells as they are, but every picture by its bytes, wherever it lies."""
    (row,) = table.to_pylist()
    cell = row.pop(find_layout(table.column_names).image_column, None)
    try:
        pictures = [picture.digest() for picture in read_pictures(cell)]
    except (AttributeError, TypeError):
        pictures = [repr(cell)]
    return _digest([row, pictures])


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
