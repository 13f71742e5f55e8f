"""Where a pool comes from and what scored it: a record in its description; paths without folders."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import PureWindowsPath
from typing import Any

from datasets import Dataset, IterableDataset

_QUOTED_FOLDERS = re.compile(r"""(?<=['"])(?:file://)?(?:[A-Za-z]:)?[\\/~][^'"]*[\\/](?=[^'"\\/]*['"])""")
_FOLDERS = re.compile(r"""(?<![\w:/.\\])(?:file://|~|[A-Za-z]:)?[\\/]{1,2}(?:[^\s\\/'":,;<>|*?`]+[\\/])+""")
_RECORD = "hf_vitselect: "


def pool_source(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    """The origin of a pool, as far as `datasets` knows: repository, commit, name, config, split, license."""
    info = dataset.info
    repo_id, commit = _repository(dataset) or (None, None)
    return {
        "repo_id": repo_id,
        "commit": commit,
        "name": info.dataset_name,
        "config": info.config_name,
        "split": str(dataset.split) if dataset.split is not None else None,
        "license": info.license or None,
    }


def read_record(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    """This package's record in a dataset's description, which survives mapping and saving."""
    for line in (dataset.info.description or "").splitlines():
        if line.startswith(_RECORD):
            record: dict[str, Any] = json.loads(line.removeprefix(_RECORD))
            return record
    return {}


def with_record(description: str | None, record: Mapping[str, Any]) -> str:
    """A description with this record, in place of an older one."""
    kept = [line for line in (description or "").splitlines() if not line.startswith(_RECORD)]
    return "\n".join([*kept, _RECORD + json.dumps(record)])


def recorded_source(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    """The origin of a pool when it was first scored; of a pool without scores, the present one."""
    source: dict[str, Any] = read_record(dataset).get("source") or pool_source(dataset)
    return source


def _repository(dataset: Dataset | IterableDataset) -> tuple[str, str] | None:
    """The Hub repository and commit of at least some of the rows."""
    # Cache folders are [owner___]name/config/version/commit.
    name = re.escape(str(dataset.info.dataset_name))
    pattern = rf".*/(?:(\w[\w.-]*)___)?({name})/[^/]+/[^/]+/([0-9a-f]{{40}})/[^/]+"
    for file in getattr(dataset, "cache_files", None) or ():
        if match := re.fullmatch(pattern, file["filename"]):
            return "/".join(part for part in match.groups()[:2] if part), match[3]
    # A stream has no files of its own. Its steps hold the addresses.
    address = r"hf://datasets/((?:[^/@\s]+/)?[^/@\s]+)@([0-9a-f]{40})/"
    for arguments in _arguments_of_steps(dataset):
        if match := re.search(address, repr(arguments)):
            return match[1], match[2]
    return next(filter(None, map(_repository, datasets_behind(dataset))), None)


def datasets_behind(dataset: Dataset | IterableDataset) -> Iterator[Dataset]:
    """The datasets of which `to_iterable_dataset` has made a stream. The stream itself has no record."""
    for arguments in _arguments_of_steps(dataset):
        yield from (shard for shard in arguments.get("shards", ()) if isinstance(shard, Dataset))


def _arguments_of_steps(dataset: Dataset | IterableDataset) -> Iterator[Mapping[str, Any]]:
    """The arguments of the functions that the steps of a stream read their rows with."""
    steps = [getattr(dataset, "_ex_iterable", None)]
    while steps:
        step = steps.pop()
        if isinstance(arguments := getattr(step, "kwargs", None), Mapping):
            yield arguments
        steps += [*getattr(step, "ex_iterables", ()), *filter(None, [getattr(step, "ex_iterable", None)])]


def without_folders(text: str) -> str:
    """A text with every path, of any system, cut to its last part."""
    return _FOLDERS.sub("", _QUOTED_FOLDERS.sub("", text))


def folder_name(path: str) -> str:
    """The last part of a path, of any system."""
    return PureWindowsPath(path).name or "a local folder"


def versions(*packages: str) -> dict[str, Any]:
    """The installed versions of these packages."""
    return {package: version(package) for package in packages}


def recorded_scorers(dataset: Dataset | IterableDataset) -> list[dict[str, Any]]:
    """The recipes of the scorers that have scored this pool, in order."""
    scorers: list[dict[str, Any]] = read_record(dataset).get("scorers", [])
    return scorers
