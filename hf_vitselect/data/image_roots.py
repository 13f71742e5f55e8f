"""The image access of a pool: where it is recorded, and how it reaches whatever reads the rows.

It is a line in the data set's description, which survives mapping, selecting and saving. A description may
also be a stranger's, such as that of a card on the Hub, so the line is signed with a key of this machine. An
Arrow table does not say where its rows are from, so it is marked.
"""

import copy
import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache, lru_cache
from ipaddress import ip_network
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pyarrow as pa
from datasets import Audio, Dataset, Image, IterableDataset, Video, config
from datasets.fingerprint import Hasher
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from hf_vitselect.data.image_access import NO_ACCESS, ImageAccess
from hf_vitselect.data.provenance import datasets_behind, pool_source, recorded_source
from hf_vitselect.errors import LayoutError, PoolError

ACCESS = "__hf_vitselect_image_access"
"""The key under which a plain row carries its pool's image access."""

_MARK = b"hf_vitselect.image_access"
_LINE = "hf_vitselect_images: "
# The functions that call a mapped function, and the local variable that holds their dataset.
_MAPS = {
    Dataset._map_single.__code__: "shard",
    Dataset.map.__wrapped__.__code__: "self",
    IterableDataset.__iter__.__code__: "self",
    IterableDataset.iter.__code__: "self",
}
Rows = TypeVar("Rows", Dataset, IterableDataset)


def with_image_root(
    dataset: Rows,
    image_root: str | os.PathLike[str],
    *,
    allow_paths: Sequence[str | os.PathLike[str]] = (),
    fetch_urls: bool = False,
    allow_addresses: Sequence[str] = (),
) -> Rows:
    """Say where the images are that the rows of a dataset or stream name.

    `load_pool` does so for what it loads. Use this for rows of your own, such as those of
    `load_dataset("json", ...)`. It must come before the scores, and it lasts: through `map`, `select`,
    `save_to_disk` on this machine, `score` and `select_diverse`. It is not published.

    Args:
        dataset: The pool.
        image_root: The folder where relative paths start. No path leads out of it.
        allow_paths: Other folders whose files the rows may name.
        fetch_urls: Whether images behind URLs (`http`, `https`, `s3`, `hf`) are fetched, once, to the cache
            of `datasets`. An `s3` or `hf` URL is read with this machine's credentials.
        allow_addresses: Private addresses and networks from which images may be fetched, `10.0.0.0/8`.

    Returns:
        The same rows, with another fingerprint.

    Raises:
        PoolError: If a folder or an address is not one.

    Examples:
        >>> rows = load_dataset("json", data_files="llava.json", split="train")  # doctest: +SKIP
        >>> pool = with_image_root(rows, "images")  # doctest: +SKIP
    """
    known = replace(image_access(dataset), fetch_urls=False, allow_addresses=())
    return with_access(dataset, changed_access(known, image_root, allow_paths, fetch_urls, allow_addresses))


def changed_access(
    access: ImageAccess,
    image_root: str | os.PathLike[str] | None,
    allow_paths: Sequence[str | os.PathLike[str]],
    fetch_urls: bool,
    allow_addresses: Sequence[str],
) -> ImageAccess:
    """An image access with what the user has given in place of what it had."""
    if isinstance(allow_paths, (str, os.PathLike)) or isinstance(allow_addresses, str):
        raise PoolError(
            f"allow_paths, allow_addresses: expected lists, got {allow_paths!r} and {allow_addresses!r}"
        )
    for address in allow_addresses:
        try:
            ip_network(address, strict=False)
        except ValueError:
            raise PoolError(
                f"allow_addresses: expected an address or a network such as 10.0.0.0/8, got {address!r}"
            ) from None
    changes: dict[str, Any] = {}
    if image_root is not None:
        # What `datasets` has downloaded may still be named: it writes absolute paths.
        downloads = access.roots if access.from_hub else (str(config.DOWNLOADED_DATASETS_PATH),)
        changes = {"roots": (_folder("image_root", image_root),), "allow_paths": downloads}
        changes |= {"from_hub": False, "image_features": False}
    if allow_paths:
        folders = tuple(_folder("allow_paths", path) for path in allow_paths)
        changes["allow_paths"] = (*changes.get("allow_paths", access.allow_paths), *folders)
    if fetch_urls:
        changes["fetch_urls"] = True
    if allow_addresses:
        changes["allow_addresses"] = tuple(allow_addresses)
    return replace(access, **changes)


def _folder(name: str, path: str | os.PathLike[str]) -> str:
    folder = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(folder):
        raise PoolError(f"{name}: expected a folder, got {os.fspath(path)!r}")
    return folder


def with_access(dataset: Rows, access: ImageAccess) -> Rows:
    """The rows, with this access in their description and fingerprint."""
    changed = copy.copy(dataset)
    changed._info = dataset.info.copy()
    lines: list[str] = (dataset.info.description or "").splitlines()
    kept: list[str] = [text for text in lines if not text.startswith(_LINE)]
    line = _LINE + json.dumps({"access": asdict(access), "signature": _signature(access)})
    changed._info.description = "\n".join([*kept, line])
    if isinstance(changed, Dataset):
        changed._fingerprint = Hasher.hash([changed._fingerprint, line])
    return changed


def recorded_access(dataset: Dataset | IterableDataset) -> ImageAccess | None:
    """The access that `with_access` has recorded on this machine, if any.

    Raises:
        LayoutError: If pools with different ones have been concatenated.
    """
    infos = [dataset.info, *(behind.info for behind in datasets_behind(dataset))]
    lines = [line for info in infos for line in (info.description or "").splitlines()]
    verified = (_verified(line) for line in lines if line.startswith(_LINE))
    accesses = {access for access in verified if access}
    if len(accesses) > 1:
        raise LayoutError(
            f"expected one image root, got rows of pools with {len(accesses)}; score the pools one by one, "
            "or load them from one folder"
        )
    return next(iter(accesses), None)


def _verified(line: str) -> ImageAccess | None:
    """The access in a line of a description; None if it was not signed on this machine."""
    with suppress(ValueError, TypeError, KeyError):
        record = json.loads(line.removeprefix(_LINE))
        access = _from_json(record["access"])
        if hmac.compare_digest(record["signature"], _signature(access)):
            return access
    return None


def _signature(access: ImageAccess) -> str:
    return hmac.digest(_key(), json.dumps(asdict(access)).encode(), hashlib.sha256).hex()


@cache
def _key() -> bytes:
    """A secret of this machine, or of this process where none can be kept."""
    place = Path(constants.HF_HOME, "hf_vitselect.key")
    with suppress(OSError):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent) as file:  # which only its user may read
                file.write(secrets.token_bytes(32))
                file.flush()
                with suppress(FileExistsError):  # Another process was faster.
                    os.link(file.name, place)
        return place.read_bytes()
    return secrets.token_bytes(32)


def _from_json(values: Any) -> ImageAccess:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return ImageAccess(**given)


def image_access(dataset: Any) -> ImageAccess:
    """The files that rows of a pool may name.

    They are those that are recorded; else, for a pool from the Hub, its downloads; else those in columns of
    the feature `Image`.
    """
    if recorded := recorded_access(dataset):
        return recorded
    # Not what the record says first: it may be a stranger's.
    repo_id = pool_source(dataset)["repo_id"] or recorded_source(dataset).get("repo_id")
    if not repo_id:
        return ImageAccess(image_features=_has_files(dataset.features or {}))
    repository = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="dataset"))
    return ImageAccess((str(repository), str(config.DOWNLOADED_DATASETS_PATH)), from_hub=True)


def _has_files(kind: Any) -> bool:
    """Whether a feature has images or other files anywhere inside."""
    if isinstance(kind, dict):
        return any(map(_has_files, kind.values()))
    return isinstance(kind, (Image, Audio, Video)) or _has_files(getattr(kind, "feature", {}))


def mapped_dataset() -> Dataset | IterableDataset | None:
    """The dataset or stream whose `map` runs or hashes the caller. A batch does not carry it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if name := _MAPS.get(frame.f_code):
            dataset: Dataset | IterableDataset = frame.f_locals[name]
            return dataset
        frame = frame.f_back
    return None


def mapped_access(mapped: Dataset | IterableDataset | None) -> ImageAccess:
    """`image_access` of what `mapped_dataset` returns."""
    if mapped is None:
        return NO_ACCESS
    return _stream_access(mapped) if isinstance(mapped, IterableDataset) else image_access(mapped)


@lru_cache(maxsize=1)
def _stream_access(stream: IterableDataset) -> ImageAccess:
    """`image_access`, cached because streams ask row by row."""
    return image_access(stream)


def mark_access(table: pa.Table, access: ImageAccess) -> pa.Table:
    """The table, marked with what its rows may name."""
    mark = {_MARK: json.dumps(asdict(access))}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **mark})


def marked_access(table: pa.Table) -> ImageAccess:
    """The access with which `mark_access` has marked this table; without a mark, none."""
    mark = (table.schema.metadata or {}).get(_MARK)
    return NO_ACCESS if mark is None else _from_json(json.loads(mark))
