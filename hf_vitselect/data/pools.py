"""Load pools from files, patterns, folders and the Hub."""

import glob
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    ReadInstruction,
    concatenate_datasets,
    load_dataset,
    load_dataset_builder,
    load_from_disk,
)
from huggingface_hub import HfApi

from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.dataset_layout import is_conversation_column
from hf_vitselect.data.image_roots import changed_access, image_access, recorded_access, with_access
from hf_vitselect.data.llama_factory import find_entry
from hf_vitselect.data.load_options import (
    csv_options,
    folder_options,
    refuse_numbers,
    repository_csv_options,
)
from hf_vitselect.data.pool_files import COMPRESSED, Files, find_files
from hf_vitselect.data.stored import with_features
from hf_vitselect.data.webdataset import load_tars, stream_tars
from hf_vitselect.errors import ColumnError, PoolError, first_line, nearest_path

_ROWS_OF_SPLIT = re.compile(r"(?P<split>[^\[\]%+]+)(?:\[(?P<first>\d*):(?P<last>\d*)\])?")


class SplitError(PoolError):
    """The pool does not have this split."""


def load_pool(
    path: str | os.PathLike[str],
    *,
    config: str | None = None,
    split: str = "train",
    image_root: str | os.PathLike[str] | None = None,
    allow_paths: Sequence[str | os.PathLike[str]] = (),
    fetch_urls: bool = False,
    allow_addresses: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Load a pool, whatever holds it.

    Rows are not converted: docs/guides/rows.md lists the layouts that are read. In a CSV the texts of
    conversations stay as they are: `007` is no number, `None` no null. The metadata.csv of a folder of images
    is read by `datasets`: there the text `None` is null, and texts that became numbers are an error.

    Args:
        path: A file (Parquet, JSON, JSON lines, CSV, Arrow, WebDataset's tar, compressed or not), a pattern
            of files, a folder of such files, a folder of images with their metadata.jsonl or .csv, a
            folder written by `score`, `select` or `save_to_disk`, LLaMA-Factory's `dataset_info.json` or its
            folder, or a dataset on the Hub.
        config: Of a dataset on the Hub; the name of an entry of a `dataset_info.json`.
        split: A split or a part of one, `train[:100]`, as in `datasets.load_dataset`.
        image_root: The folder where the relative paths of images start; by default the folder of a local
            pool, or the one that it was scored with. No path leads out of it.
        allow_paths: Other folders whose files the rows may name.
        fetch_urls: Whether images behind URLs (`http`, `https`, `s3`, `hf`) are fetched, once, to the cache
            of `datasets`. An `s3` or `hf` URL is read with this machine's credentials.
        allow_addresses: Private addresses and networks from which images may be fetched, such as
            `10.0.0.0/8`.
        columns: Columns to rename, by the names that they get: `{"messages": "dialog"}`.

    Raises:
        PoolError: If it does not exist or cannot be read, or a folder or an address is not one.
        ColumnError: If a column to rename is missing, or its new name is taken.

    Examples:
        >>> pool = load_pool("pool.jsonl", columns={"messages": "dialog"})  # doctest: +SKIP
    """
    rows = _opened(str(path), config, split, columns or {}, streaming=False)
    return _with_images(rows, str(path), image_root, allow_paths, fetch_urls, allow_addresses)


def load_stream(
    path: str | os.PathLike[str],
    *,
    config: str | None = None,
    split: str = "train",
    image_root: str | os.PathLike[str] | None = None,
    allow_paths: Sequence[str | os.PathLike[str]] = (),
    fetch_urls: bool = False,
    allow_addresses: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> IterableDataset:
    """Load a pool as a stream; as `load_pool`, but a part of a split only in rows."""
    stream = _opened(str(path), config, split, columns or {}, streaming=True)
    return _with_images(stream, str(path), image_root, allow_paths, fetch_urls, allow_addresses)


def _opened(path: str, config: str | None, split: str, columns: Mapping[str, str], *, streaming: bool) -> Any:
    """The rows of a pool, its columns renamed."""
    texts = {old for new, old in columns.items() if is_conversation_column(new)}
    return _renamed(_open(path, config, split, texts, streaming=streaming), columns)


def _open(
    path: str, config: str | None, split: str, texts: Collection[str] = (), *, streaming: bool
) -> Dataset | IterableDataset:
    """The rows of a pool; `texts` are columns of a conversation whose names do not say so."""
    if entry := find_entry(path, config):
        split = re.sub(r"^train\b", entry.split, split)
        opened: Dataset | IterableDataset = entry.converted(
            _open(entry.path, entry.config, split, entry.columns.values(), streaming=streaming)
        )
        return opened
    source = find_files(path)
    if isinstance(source, Path):
        saved = _part_of_saved(source, split)
        return saved.to_iterable_dataset() if streaming else saved
    rows: Dataset = (_stream if streaming else _load)(source, config, split, texts)
    return rows


def _stream(files: Files, config: str | None, split: str, texts: Collection[str]) -> IterableDataset:
    part = _ROWS_OF_SPLIT.fullmatch(split)
    if part is None:
        raise PoolError(
            f"expected a split such as train or train[:1000], got {split!r}; "
            "a stream has no length: give rows, or drop dataset_streaming"
        )
    stream: IterableDataset = _load(files, config, part["split"], texts, streaming=True)
    if part["last"]:
        stream = stream.take(int(part["last"]))
    return stream.skip(int(part["first"])) if part["first"] else stream


def _with_images(rows: Any, path: str, image_root: str | os.PathLike[str] | None, *given: Any) -> Any:
    """A dataset or stream that says where its images are."""
    recorded, access = recorded_access(rows), image_access(rows)
    if image_root is None and recorded is None and not access.from_hub:
        image_root = _folder_of(path)
    changed = changed_access(access, image_root, *given)
    return rows if changed == access else with_access(rows, changed)


def _folder_of(path: str) -> Path | None:
    """The folder of a local pool, if it exists."""
    place = Path(path).expanduser()
    while glob.has_magic(str(place)):
        place = place.parent
    return place if place.is_dir() else place.parent if place.is_file() else None


def _renamed(rows: Any, columns: Mapping[str, str]) -> Any:
    """A dataset or stream whose columns have these names."""
    if not columns:
        return rows
    if isinstance(rows, IterableDataset):
        rows = with_features(rows)
    names = list(rows.column_names or columns.values())
    refuse_missing(columns.values(), names, "columns: expected existing columns to rename, not")
    if len(set(columns.values())) < len(columns):
        raise ColumnError(f"columns: expected one new name for each column, got {dict(columns)}")
    kept = set(names) - set(columns.values())
    if taken := [name for name in columns if name in kept]:
        raise ColumnError(
            f"columns: expected new names that no column has, got {taken}; "
            f"give those columns other names too, as {{'other_{taken[0]}': {taken[0]!r}}}"
        )
    # In two steps, because a stream cannot give a column the name that another one is about to lose.
    rows = rows.rename_columns({old: f"__{new}" for new, old in columns.items()})
    return rows.rename_columns({f"__{new}": new for new in columns})


def _part_of_saved(folder: Path, split: str) -> Dataset:
    try:
        saved = load_from_disk(str(folder))
    except Exception as error:  # Damaged files raise anything.
        raise PoolError(f"{str(folder)!r} cannot be read: {first_line(error)}") from error
    if isinstance(saved, DatasetDict):
        return _part(dict(saved), split, str(folder))
    return _part({str(saved.split or "train"): saved} | {"train": saved}, split, str(folder))


def _part(splits: Mapping[str, Dataset], split: str, name: str) -> Dataset:
    try:
        parts = ReadInstruction.from_spec(split).to_absolute(
            {name: len(rows) for name, rows in splits.items()}
        )
    except (ValueError, AssertionError) as error:
        raise _no_such_split(split, name, list(splits), error) from error
    picked = [
        rows if (first or 0, last) in ((0, None), (0, len(rows))) else rows.select(range(first or 0, last))
        for rows, first, last in ((splits[part.splitname], part.from_, part.to) for part in parts)
    ]
    return picked[0] if len(picked) == 1 else concatenate_datasets(picked)


def _load(
    files: Files, config: str | None, split: str, texts: Collection[str], *, streaming: bool = False
) -> Any:
    """Call `datasets.load_dataset`."""
    options: dict[str, Any] = {"split": split, "streaming": streaming}
    if files.splits:
        if config is not None:
            raise PoolError(f"dataset_config: expected none for files, got {config!r} for {files.name!r}")
        options["data_files"] = files.splits
    if files.path == "webdataset":
        return _load_tars(files, split, streaming=streaming)
    if files.path == files.name and not os.path.isdir(files.path):
        _refuse_unknown(files.name)
    try:
        if files.path == "csv":
            options |= csv_options(next(iter(files.splits.values()))[0], texts)
        elif not files.splits:
            place = folder_options(files)
            if "description" in place:  # with options, a missing config has another error
                load_dataset_builder(files.path, config)
            builder = load_dataset_builder(files.path, config, **place)
            options |= place
            if builder.name == "csv":
                options |= repository_csv_options(builder, texts)
        rows = load_dataset(files.path, config, **options)
    except Exception as error:  # From the Hub, the network or the files' parsers.
        if isinstance(error, StopIteration) or "corresponds to no data" in str(error):
            raise PoolError(f"expected rows in {files.name!r}, got none") from error
        if known := re.search(r"available configs: (.*)", str(error)):
            raise PoolError(
                f"dataset_config: expected one of {known[1]}, got none for {files.name!r}"
            ) from error
        if re.search(r"[Ss]plit|instruction format", str(error)):
            raise _no_such_split(split, files.name, list(files.splits), error) from error
        if files.path == files.name and not os.path.isdir(files.path):
            raise _unknown(files.name, error) from error
        where = _bad_line(files) or first_line(error)
        raise PoolError(f"{files.name!r} cannot be read: {where}") from error
    if not files.splits and builder.name == "imagefolder":
        refuse_numbers(rows, builder, texts)
    return rows


def _load_tars(files: Files, split: str, *, streaming: bool) -> Dataset | IterableDataset:
    if not streaming:
        splits = {name: load_tars(tars, name) for name, tars in files.splits.items()}
        return _part(splits, split, files.name)
    if split not in files.splits:
        raise _no_such_split(split, files.name, list(files.splits), ValueError())
    return stream_tars(files.splits[split], split)


def _refuse_unknown(name: str) -> None:
    """Ask the Hub once for a name that is not cached. `datasets` would retry for half a minute."""
    if Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___")).exists():
        return
    try:
        HfApi().dataset_info(name)
    except Exception as error:  # Unknown id, offline, or any error of the HTTP library.
        raise _unknown(name, error) from error


def _unknown(name: str, error: Exception) -> PoolError:
    return PoolError(
        f"expected a file, a folder or a dataset on the Hub, got {name!r}{nearest_path(name)}\n"
        f"{first_line(error)}"
    )


def _no_such_split(split: str, name: str, splits: Sequence[str], error: Exception) -> SplitError:
    known = f"{name!r} has {splits}" if splits else first_line(error)
    return SplitError(f"expected an existing split, or a part such as train[:1000], got {split!r}; {known}")


def _bad_line(files: Files) -> str | None:
    """Describe the first invalid line of the JSON files."""
    for path in [Path(path) for paths in files.splits.values() for path in paths if files.path == "json"]:
        number = 0
        try:
            with COMPRESSED.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
                start = file.read(1)
                # A list is one document; otherwise every line is one.
                for line in [start + file.read()] if start == "[" else chain([start + file.readline()], file):
                    number += 1
                    json.loads(line.strip() or "null")
        except json.JSONDecodeError as error:
            return f"line {number + error.lineno - 1} of {path.name} is not valid JSON: {error.msg}"
        except (OSError, UnicodeError) as error:
            return f"{path.name}: {first_line(error)}"
    return None
