"""The files of a pool, or its name on the Hub."""

import bz2
import csv
import glob
import gzip
import json
import lzma
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_vitselect.errors import PoolError, nearest_path

_KINDS = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
    ".tar": "webdataset",
    ".tgz": "webdataset",
}
COMPRESSED: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": open,
}
_SAVED = ("state.json", "dataset_dict.json")
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""What `datasets` reads in a folder of images: a row for each."""
_SPLITS = {"test": {"test", "testing"}, "validation": {"validation", "valid", "val", "dev"}}


@dataclass(frozen=True)
class Files:
    """The files or the name for `datasets.load_dataset`.

    Attributes:
        name: As the user gave it.
        path: The files' format, `imagefolder`, or the name on the Hub.
        splits: The files of each split; none for a folder of images or a name on the Hub.
    """

    name: str
    path: str
    splits: dict[str, list[str]]

    @classmethod
    def of(cls, name: str, files: Sequence[Path], folder: Path | None = None) -> "Files":
        """Files of one format."""
        kind = _kind(files[0])
        odd = next((file for file in files if _kind(file) is None or _kind(file) != kind), None)
        if kind is None or odd is not None:
            raise PoolError(
                f"expected files of one format, {', '.join(_KINDS)}, got {(odd or files[0]).name!r} "
                f"in {name!r}; give one file, or a pattern such as 'folder/*.parquet'"
            )
        splits: dict[str, list[str]] = {}
        for file in files:
            splits.setdefault(_split(file.relative_to(folder)) if folder else "train", []).append(str(file))
        return cls(name, kind, splits)


def find_files(name: str) -> Path | Files:
    """Resolve a name: a folder written by `save_to_disk`, files, or a name on the Hub."""
    path = Path(name).expanduser()
    if path.is_file():
        return Files.of(name, [path])
    if path.is_dir():
        return _in_folder(name, path)
    if glob.has_magic(name):
        files = [Path(file) for file in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(file)]
        if not files:
            there = "" if path.parent.is_dir() else nearest_path(path.parent)
            raise PoolError(f"expected files that match {name!r}, got none{there}")
        return Files.of(name, files)
    if _kind(path) or name.startswith((".", "~", os.sep)) or name.count("/") > 1:
        raise PoolError(
            f"expected a file or a folder, got {name!r}, which does not exist{nearest_path(path)}"
        )
    return Files(name, name, {})


def _in_folder(name: str, folder: Path) -> Path | Files:
    for inside in (folder, folder / "scored", folder / "dataset"):  # as `score` and `select` write
        if any((inside / file).is_file() for file in _SAVED):
            return inside
    if list(folder.glob("shards/shard-*")) or list(folder.glob("shard-*.parquet")):
        raise PoolError(
            f"expected a scored pool, got the shards of an unfinished one in {name!r}; "
            "run the same score command again: it resumes"
        )
    if (folder / "config.json").exists():
        raise PoolError(f"expected a pool, got a model in {name!r}; give a folder of data files")
    if (folder / "README.md").exists():  # a repository, whose card may list its splits
        return Files(name, str(folder.resolve()), {})
    files = sorted(file for file in folder.rglob("*") if _kind(file) not in (None, "arrow"))
    if files and all(file.name in _METADATA and _names_files(file) for file in files):
        return Files(name, "imagefolder", {})
    files = [file for file in files if _kind(file) != "webdataset"] or files  # A tar may hold images alone.
    if not files:
        raise PoolError(
            f"expected files ({', '.join(_KINDS)}) or the output of save_to_disk in {name!r}, got neither"
            f"{nearest_path(folder / 'scored')}"
        )
    return Files.of(name, files, folder)


def _names_files(metadata: Path) -> bool:
    """Whether the rows of a folder of images name their files, as `datasets` asks for."""
    try:
        if metadata.suffix == ".parquet":
            names: Iterable[str] = pq.read_schema(metadata).names
        else:
            with open(metadata, encoding="utf-8-sig") as file:
                line = file.readline()
            names = json.loads(line) if metadata.suffix == ".jsonl" else next(csv.reader([line]), [])
    except (OSError, ValueError, pa.ArrowException):  # The loader says what is wrong.
        return False
    return any(re.fullmatch(r"(.*_)?file_names?", name) for name in names)


def _kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _split(path: Path) -> str:
    """The split that the name of a file or its folder says."""
    words = set(re.split(r"[^a-z]+", str(path).lower()))
    return next((split for split, names in _SPLITS.items() if words & names), "train")
