"""The files of this machine that the rows of a pool may name.

Rows from the Hub are written by strangers: they may name only the files that `datasets` has downloaded with
them. An Arrow table does not say where its rows are from, so it is marked.
"""

import json
import os
import re
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
from hf_vitselect.errors import RowError

ROOTS = "__hf_vitselect_image_roots"
"""The key under which a plain row carries its roots."""

_MARK = b"hf_vitselect.image_roots"
_URL = re.compile(r"(https?|ftp|hf|s3|gs|az)://", re.IGNORECASE)
# The functions that call a mapped function, and the local variable that holds their dataset.
_MAPS = {
    Dataset._map_single.__code__: "shard",
    Dataset.map.__wrapped__.__code__: "self",
    IterableDataset.__iter__.__code__: "self",
    IterableDataset.iter.__code__: "self",
}


def image_roots(dataset: Any) -> tuple[str, ...] | None:
    """The folders in which rows may name files: the downloads of a pool from the Hub, else any (None)."""
    repo_id = recorded_source(dataset).get("repo_id")
    if not repo_id:
        return None
    repository = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="dataset"))
    return str(repository), str(config.DOWNLOADED_DATASETS_PATH)


def find_file(path: str, roots: Sequence[str] | None) -> str:
    """Find the file that a row names, inside these folders if given. Neither `..` nor a link leads out.

    Raises:
        RowError: `image_missing` if it does not exist or is elsewhere; `image_remote` for a URL.
    """
    if _URL.match(path):
        raise RowError("image_remote", f"a URL, and images are not fetched: {path}")
    files = [path] if roots is None else [file for root in roots if (file := _inside(root, path))]
    if not files:
        raise RowError(
            "image_missing",
            f"rows of a pool from the Hub cannot name files of this machine, got {path!r}; "
            "the pool must hold the images themselves",
        )
    file = next(filter(os.path.isfile, files), None)
    if file is None:
        where = "" if roots is not None or os.path.isabs(path) else " in the working directory"
        raise RowError("image_missing", f"no file at {path!r}{where}")
    return file


def _inside(root: str, path: str) -> str | None:
    """The file that a path names inside a folder; None if the path leads out of it."""
    if "\0" in path:
        return None
    root, file = os.path.realpath(root), os.path.realpath(os.path.join(root, path))
    return file if os.path.commonpath((root, file)) == root else None


def mapped_dataset() -> Dataset | IterableDataset | None:
    """The dataset or stream whose `map` runs or hashes the caller. A batch does not carry it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if name := _MAPS.get(frame.f_code):
            dataset: Dataset | IterableDataset = frame.f_locals[name]
            return dataset
        frame = frame.f_back
    return None


def mapped_roots(mapped: Dataset | IterableDataset | None) -> tuple[str, ...] | None:
    """`image_roots` of what `mapped_dataset` returns."""
    if mapped is None:
        return None
    return _stream_roots(mapped) if isinstance(mapped, IterableDataset) else image_roots(mapped)


@lru_cache(maxsize=1)
def _stream_roots(stream: IterableDataset) -> tuple[str, ...] | None:
    """`image_roots`, cached because streams ask row by row."""
    return image_roots(stream)


def mark_roots(table: pa.Table, roots: Sequence[str] | None) -> pa.Table:
    """The table, marked with the folders in which its rows may name files."""
    if roots is None:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _MARK: json.dumps(roots)})


def marked_roots(table: pa.Table) -> tuple[str, ...] | None:
    """The folders with which `mark_roots` has marked this table, if any."""
    mark = (table.schema.metadata or {}).get(_MARK)
    return None if mark is None else tuple(json.loads(mark))
