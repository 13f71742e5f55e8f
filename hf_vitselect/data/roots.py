"""Which files of this machine the rows of a pool may name.

Rows of a pool from the Hub are somebody else's: they may name the files that `datasets` has downloaded with
them, and no others. Whose rows a table holds cannot be seen in the table, so that it is marked.
"""

import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
from datasets import Dataset, IterableDataset, config
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from hf_vitselect.data.provenance import recorded_source

ROOTS = "__hf_vitselect_image_roots"
"""The key of a plain row under which its roots stand, where it cannot be asked whose it is."""

_MARK = b"hf_vitselect.image_roots"
# The functions that call what is mapped, and where their data set is.
_MAPS = {
    Dataset._map_single.__code__: "shard",
    Dataset.map.__wrapped__.__code__: "self",
    IterableDataset.__iter__.__code__: "self",
    IterableDataset.iter.__code__: "self",
}


def image_roots(dataset: Any) -> tuple[str, ...] | None:
    """The folders in which the rows of a data set or a stream may name files.

    Returns:
        For a pool from the Hub the folders that `datasets` downloads it to; None, which is any folder, for
        all others.
    """
    repo_id = recorded_source(dataset).get("repo_id")
    if not repo_id:
        return None
    repository = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="dataset"))
    return str(repository), str(config.DOWNLOADED_DATASETS_PATH)


def mapped_dataset() -> Dataset | IterableDataset | None:
    """The data set or stream whose `map` runs, or hashes, the caller just now: a batch does not say."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if name := _MAPS.get(frame.f_code):
            found: Dataset | IterableDataset = frame.f_locals[name]
            return found
        frame = frame.f_back
    return None


def mapped_roots(mapped: Dataset | IterableDataset | None) -> tuple[str, ...] | None:
    """`image_roots` of what `mapped_dataset` has found."""
    if mapped is None:
        return None
    return _stream_roots(mapped) if isinstance(mapped, IterableDataset) else image_roots(mapped)


@lru_cache(maxsize=1)
def _stream_roots(stream: IterableDataset) -> tuple[str, ...] | None:
    """`image_roots`, which streams are asked for row by row."""
    return image_roots(stream)


def mark_roots(table: pa.Table, roots: Sequence[str] | None) -> pa.Table:
    """The table, which says that its rows may name files in these folders only."""
    if roots is None:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _MARK: json.dumps(roots)})


def marked_roots(table: pa.Table) -> tuple[str, ...] | None:
    """What `mark_roots` has said of this table; None where it has said nothing."""
    mark = (table.schema.metadata or {}).get(_MARK)
    return None if mark is None else tuple(json.loads(mark))
