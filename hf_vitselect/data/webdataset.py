"""WebDataset: tars of samples, each a JSON record and its images under one key, read without unpacking.

The builder of `datasets` stops at a sample without its JSON or image, and leaves out every kind of file that
the first five samples do not have. Here each sample is a row; if it cannot be read, `UNSTORED` says why.
"""

import json
import logging
import re
import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, Image, IterableDataset, List, NamedSplit, Value
from datasets.iterable_dataset import ArrowExamplesIterable

from hf_vitselect.data.dataset_layout import find_layout, is_conversation_column
from hf_vitselect.data.images import IMAGE_SUFFIXES, image_cells, read_image
from hf_vitselect.data.layouts import STRUCTURES
from hf_vitselect.data.stored import UNSTORED, encode_batch, is_empty
from hf_vitselect.data.turns import read_text
from hf_vitselect.errors import LayoutError, PoolError, RowError, first_line

_MEDIA = ("mp4", "webm", "mov", "avi", "wav", "mp3", "flac", "ogg")
_LARGEST = 2**28  # bytes of a file that is read: 256 MiB
_HEAD = 100  # samples that show the columns
_NAMES = ("image", "images")
_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int64": (int,), "float64": (int, float)}
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error)

Files = dict[str, bytes | None]
"""The files of a sample by name; None for one that is not read: a link, or one that is too large."""

_logger = logging.getLogger(__name__)


def load_tars(tars: Sequence[str], split: str) -> Dataset:
    """The samples of some tars in order.

    Raises:
        PoolError: if none of the first samples can be read.
    """
    columns = _columns_of(tars)
    shards = [_shard(tar) for tar in tars]
    arguments = {"shards": shards, "columns": columns}
    rows: Dataset = Dataset.from_generator(
        _rows, features=_features(columns), gen_kwargs=arguments, split=NamedSplit(split)
    )
    return rows


def stream_tars(tars: Sequence[str], split: str) -> IterableDataset:
    """As `load_tars`, but a stream."""
    columns = _columns_of(tars)
    shards = [_shard(tar) for tar in tars]
    # Of tables, since a stream of plain rows has other types for each.
    tables = ArrowExamplesIterable(_tables, {"shards": shards, "columns": columns})
    return IterableDataset(tables, DatasetInfo(features=_features(columns)), NamedSplit(split))


def _shard(tar: str) -> tuple[str, int, int]:
    """A tar with its size and time, so that the cache of `datasets` notices changes."""
    state = Path(tar).stat()
    return tar, state.st_size, state.st_mtime_ns


def _features(columns: Mapping[str, str]) -> Features:
    typed = {name: Value(kind) for name, kind in columns.items()}
    ours = {"images": List(Image()), UNSTORED: Value("string")}
    return Features({"__key__": Value("string"), **typed, **ours})


def _columns_of(tars: Sequence[str]) -> dict[str, str]:
    """The columns of the records and their types; all but numbers and booleans are text."""
    samples = islice(((tar, *sample) for tar in tars for sample in _samples(tar)), _HEAD)
    records, problems = [], []
    for tar, key, files in samples:
        record, problem = _record(key, files, tar)
        records += [] if problem else [record]
        problems += [problem] if problem else []
    if not records:
        raise PoolError(f"expected samples with a .json record in {tars[0]!r}, got {problems[:1] or 'none'}")
    names = dict.fromkeys(name for record in records for name in record if name not in _NAMES)
    return {name: _kind(name, [record.get(name) for record in records]) for name in names}


def _kind(name: str, cells: Iterable[Any]) -> str:
    kinds = {type(cell) for cell in cells if cell is not None}
    if not kinds or is_conversation_column(name):
        return "string"
    return next((kind for kind, types in _TYPES.items() if kinds <= set(types)), "string")


def _samples(tar: str) -> Iterator[tuple[str | None, Files | str]]:
    """The key and the files of each sample; at damage, no key and the reason."""
    key, files = None, Files()
    try:
        with tarfile.open(tar, "r|*") as archive:
            for member in archive:
                if member.isdir():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem = f"{folder}/{name.partition('.')[0]}".removeprefix("/").removeprefix("./")
                if key is not None and stem != key:
                    yield key, files
                    files = Files()
                key = stem
                readable = member.isfile() and member.size <= _LARGEST
                file = archive.extractfile(member) if readable else None
                files[name] = None if file is None else file.read()
    except _DAMAGED as error:
        yield None, f"{Path(tar).name} is damaged after {key or 'its start'}: {first_line(error)}"
        return
    if key is not None:
        yield key, files


def _rows(shards: Sequence[tuple[str, int, int]], columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of some tars."""
    nothing: dict[str, Any] = {"__key__": None, **dict.fromkeys(columns), "images": None, UNSTORED: None}
    texts = _texts_of(columns)
    for tar, _, _ in shards:
        for key, files in _samples(tar):
            record, problem = _record(key, files, tar)
            row = nothing | {"__key__": None if key is None else key.encode("utf-8", "replace").decode()}
            try:
                row |= {"images": _images(record, files), **_cells(record, columns, texts)}
            except (RowError, TypeError, ValueError) as error:
                problem = problem or str(error)
            yield row | {UNSTORED: problem}


def _tables(
    shards: Sequence[tuple[str, int, int]], columns: Mapping[str, str]
) -> Iterator[tuple[int, pa.Table]]:
    """The rows of some tars as tables, each with its number."""
    features = _features(columns)
    rows = _rows(shards, columns)
    for number, batch in enumerate(iter(lambda: list(islice(rows, _HEAD)), [])):
        yield number, encode_batch({name: [row[name] for row in batch] for name in features}, features)


def _record(key: str | None, files: Files | str, tar: str) -> tuple[dict[str, Any], str | None]:
    """The JSON record of a sample, and what is wrong with it."""
    if isinstance(files, str):
        return {}, files
    where = f"{key} in {Path(tar).name}"
    names = [name for name in files if name.lower().endswith(".json")]
    if len(names) != 1:
        return {}, f"expected one .json of {where}, got {sorted(files)}"
    try:
        record = json.loads(files[names[0]] or b"")
    except (ValueError, RecursionError) as error:
        return {}, f"the .json of {where} is not valid: {first_line(error)}"
    if not isinstance(record, dict):
        return {}, f"expected a record in the .json of {where}, got {type(record).__name__}"
    if media := [name for name in files if name.lower().rpartition(".")[2] in _MEDIA]:
        return record, f"{media[0]} of {where} is video or audio, which is not read"
    return record, None


def _images(record: Mapping[str, Any], files: Files | str) -> list[dict[str, Any] | None]:
    """The images of a sample: its files in the order of their numbers, or as its record names them."""
    own = {} if isinstance(files, str) else files
    names = sorted(
        (name for name in own if name.lower().rpartition(".")[2] in IMAGE_SUFFIXES), key=_by_number
    )
    said = [cell for key in _NAMES for cell in image_cells(record.get(key)) if not is_empty(cell)]
    if not names:
        images = [read_image(cell) for cell in said]
        return [{"bytes": image.data, "path": image.path} for image in images] or [None]
    if said:
        ends = [str(cell).rpartition("/")[2] for cell in said]
        if sorted(ends) != sorted(names):
            raise ValueError(f"the record names the images {ends}, the sample has {names}")
        names = ends
    elif len({re.sub(r"\d+", "", name.partition(".")[2].rpartition(".")[0]) for name in names}) > 1:
        raise ValueError(f"expected images with numbers in their names, got {names}; list them in 'images'")
    if unread := [name for name in names if own[name] is None]:
        raise ValueError(f"{unread[0]} is a link, or larger than {_LARGEST:,} bytes")
    return [{"bytes": own[name], "path": name} for name in names]


def _by_number(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _texts_of(columns: Iterable[str]) -> set[str]:
    """The columns of a layout that hold texts, never lists or records."""
    try:
        layout = find_layout([*columns, "images"])
    except LayoutError:  # The reader of the rows raises it again.
        return set()
    return {*layout.text_columns, *filter(None, [layout.system_column])} - {*STRUCTURES}


def _cells(record: Mapping[str, Any], columns: Mapping[str, str], texts: Collection[str]) -> dict[str, Any]:
    """The cells of a record.

    Raises:
        ValueError: for a part of the conversation that cannot be stored.
    """
    cells = {}
    for name, value in record.items():
        if name in _NAMES or value is None:
            continue
        if name not in columns and is_conversation_column(name):
            raise ValueError(f"{name!r} is in none of the first {_HEAD} records; give it to one of them")
        if name in columns and not (name in texts and value in ([], {})):
            cells[name] = _cell(name, value, columns[name], name in texts)
    return cells


def _cell(name: str, value: Any, kind: str, is_text: bool) -> Any:
    if kind != "string":
        fits = type(value) in _TYPES[kind] and (kind != "int64" or abs(value) < 2**63)
        return value if fits else _left_out(name, value)
    structured = isinstance(value, (dict, list)) and not is_text
    plain = isinstance(value, bool) and not is_conversation_column(name)
    return json.dumps(value) if structured or plain else read_text(value)


def _left_out(name: str, value: Any) -> None:
    _logger.warning("%s: %r is of another type than in the first samples, so it is null", name, value)
