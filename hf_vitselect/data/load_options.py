"""Options of `datasets.load_dataset`: changed files are read again, and texts stay as they are."""

import hashlib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from datasets import Dataset, DatasetBuilder

from hf_vitselect.data.dataset_layout import holds_media, is_conversation_column
from hf_vitselect.data.pool_files import Files
from hf_vitselect.data.stored import with_features
from hf_vitselect.errors import PoolError

_NULLS = [
    *("", "#N/A N/A", "#N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "-NaN", "-nan", "NaN"),
    *("nan", "<NA>", "N/A", "n/a", "NA", "NULL", "null", "None"),
]
"""What pandas takes for null, here only in the columns of a CSV that hold no part of a conversation."""


def folder_options(files: Files) -> dict[str, str]:
    """Options for a folder of images or a local repository; none for a dataset on the Hub."""
    if files.path == "imagefolder":
        return {"data_dir": str(Path(files.name).expanduser())}
    # If a card lists its files, datasets would find what it cached of any folder of that name. A description
    # becomes a part of the cache's key.
    return {"description": _state(files.path)} if os.path.isdir(files.path) else {}


def _state(folder: str) -> str:
    """A digest of a folder's path, and of the names, times and sizes of its files."""
    digest = hashlib.sha256(folder.encode())
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in sorted(names)):
            stat = path.stat() if path.exists() else path.lstat()  # of a broken link
            digest.update(repr((str(path), stat.st_mtime_ns, stat.st_size)).encode())
    return digest.hexdigest()


def refuse_numbers(rows: Any, builder: DatasetBuilder, texts: Collection[str]) -> None:
    """Refuse texts of a metadata.csv that `datasets` reads as numbers: `007` as 7."""
    numbers = [
        name
        for name, feature in rows.features.items()
        if _is_text(name, texts)
        and not holds_media(name)
        and re.match("u?int|float|bool", getattr(feature, "dtype", ""))
        and _has_values(rows.select_columns([name]))  # an empty column is read as numbers, too
    ]
    sources = [str(file) for part in (builder.config.data_files or {}).values() for file in part]
    if numbers and not any(re.search(r"metadata\.(jsonl|parquet)$", file) for file in sources):
        raise PoolError(
            f"expected texts in {numbers}, got numbers or truth values, which may have been other texts in "
            "a metadata.csv, as 007 or TRUE; write the rows to a metadata.jsonl instead, with texts in quotes"
        )


def _has_values(column: Any) -> bool:
    """Whether the only column of a dataset, or the head of a stream's, is not empty."""
    if isinstance(column, Dataset):
        return bool(column.data.column(0).null_count < len(column))
    return any(cell is not None for row in column.take(1000) for cell in row.values())


def csv_options(file: str, texts: Collection[str]) -> dict[str, Any]:
    """Options with which the texts of conversations stay as they are: 007 is no number, None no null."""
    separator = "\t" if ".tsv" in Path(file).suffixes else ","
    return {"sep": separator, **_keep_texts(list(pd.read_csv(file, sep=separator, nrows=0)), texts, {})}


def repository_csv_options(builder: DatasetBuilder, texts: Collection[str]) -> dict[str, Any]:
    """The same for CSVs of a repository, whose card may have options, too."""
    stream = next(iter(builder.as_streaming_dataset().values()))
    names, nulls = list(with_features(stream).column_names or []), builder.config.na_values
    if not isinstance(nulls, Mapping):
        nulls = dict.fromkeys(names, [nulls] if isinstance(nulls, str) else nulls or [])
    return _keep_texts(names, texts, nulls)


def _keep_texts(
    names: Sequence[str], texts: Collection[str], nulls: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Options of a CSV with these columns; `nulls` are a column's words for null besides those of pandas."""
    converters = {
        name: _path_or_null if holds_media(name) else _text_or_null for name in names if _is_text(name, texts)
    }
    return {
        "converters": converters,
        "keep_default_na": False,
        "na_values": {name: [*_NULLS, *nulls.get(name, ())] for name in names if name not in converters},
    }


def _is_text(name: str, texts: Collection[str]) -> bool:
    return name in texts or is_conversation_column(name)


def _text_or_null(cell: str) -> str | None:
    return cell or None


def _path_or_null(cell: str) -> str | None:
    return None if cell in _NULLS else cell
