"""Where things come from: the exact weights behind a model's name, and the repository behind a pool."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path, PureWindowsPath
from typing import Any

import huggingface_hub
from datasets import Dataset, IterableDataset
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from hf_vitselect.errors import ModelError
from hf_vitselect.loading import first_line, nearest_path

_QUOTED_FOLDERS = re.compile(r"""(?<=['"])(?:file://)?(?:[A-Za-z]:)?[\\/~][^'"]*[\\/](?=[^'"\\/]*['"])""")
_FOLDERS = re.compile(r"""(?<![\w:/.\\])(?:file://|~|[A-Za-z]:)?[\\/]{1,2}(?:[^\s\\/'":,;<>|*?`]+[\\/])+""")
_RECORD = "hf_vitselect: "
_NO_WEIGHTS = {"README.md", "training_args.bin"}
_CONFIGS = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def identify(model: str, revision: str | None = None) -> dict[str, Any]:
    """The exact weights behind a name.

    Args:
        model: a Hub id or a folder.
        revision: a commit, branch or tag on the Hub.

    Returns:
        ``{"model": ..., "commit": ...}`` for the Hub, ``{"model": ..., "digest": ...}`` for a folder,
        where the digest is a sha256 over the names and contents of the folder's files, but for its card
        and its training arguments. A PEFT adapter also has ``base``, the same of its base model.

    Raises:
        ModelError: if it is neither a folder nor known to the Hub or to the local cache.
    """
    if os.path.isdir(model):
        refuse_revision(model, revision)
        identity: dict[str, Any] = {"model": model, "digest": _folder_digest(_stamps(Path(model)))}
    else:
        identity = {"model": model, "commit": _commit(model, revision)}
    base = adapter_base(model, revision)
    if base is not None:
        try:
            identity["base"] = identify(*base)
        except ModelError as error:
            raise ModelError(f"the base model of the adapter {model}: {error}") from error
    return identity


def refuse_revision(model: str, revision: str | None) -> None:
    """Refuses the revision of a folder, which has none: it would be recorded, and nothing else.

    Raises:
        ModelError: for any but TRL's default.
    """
    if os.path.isdir(model) and revision not in (None, "main"):
        raise ModelError(
            f"revision: expected none for the folder {model}, got {revision!r}; give the folder with those "
            "weights, or a model id on the Hub"
        )


def adapter_base(model: str, revision: str | None = None) -> tuple[str, str | None] | None:
    """The base model of a PEFT adapter and its revision; None for a whole model.

    Args:
        model: a Hub id or a folder.
        revision: a commit, branch or tag on the Hub.

    Raises:
        ModelError: if the adapter names no base model, or lies in the folder of a whole model, on which
            `transformers` would put it.
    """
    folder = os.path.isdir(model)
    name = "adapter_config.json"
    found = Path(model, name) if folder else _hub_file(model, name, _commit(model, revision))
    if found is None or not found.exists():
        return None
    config = json.loads(found.read_text())
    base = config.get("base_model_name_or_path")
    if not base:
        raise ModelError(
            f"expected an adapter that names its base model, got base_model_name_or_path={base!r} in "
            f"adapter_config.json of {model}; write the base model's Hub id or folder there"
        )
    if folder and Path(model, "config.json").exists():
        raise ModelError(
            f"expected a whole model or an adapter, got both in {model}; move "
            "adapter_config.json away if the adapter is merged into the model, else config.json"
        )
    return str(base), config.get("revision")


def remote_code(model: str, revision: str | None = None) -> list[dict[str, str]]:
    """The code of other repositories that a model's files name, which ``trust_remote_code`` runs.

    Code beside the weights belongs to the model's own digest or commit.

    Args:
        model: a Hub id or a folder.
        revision: a commit, branch or tag on the Hub.

    Returns:
        ``{"model": repository, "commit": ...}`` for each, in the order of their names.
    """
    named: set[str] = set()
    for name in _CONFIGS:
        path = Path(model, name) if os.path.isdir(model) else _hub_file(model, name, revision)
        config = json.loads(path.read_text()) if path is not None and path.exists() else {}
        for classes in config.get("auto_map", {}).values():
            classes = classes if isinstance(classes, list) else [classes]
            named |= {each.partition("--")[0] for each in classes if each and "--" in each}
    return [{"model": name, "commit": _commit(name, None)} for name in sorted(named)]


def is_pinned(identity: Mapping[str, Any]) -> bool:
    """Whether an identity is of commits alone, which never change, and has no folder, which may."""
    parts = [part for part in identity.values() if isinstance(part, Mapping)]
    return "commit" in identity and all(is_pinned(part) for part in parts)


def pool_source(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    """Where a pool comes from, as far as `datasets` tells.

    Returns:
        ``repo_id`` and ``commit`` on the Hub, ``name``, ``config``, ``split`` and ``license``; None for
        what is not known.
    """
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
    """What this package has written into a data set's description, which survives maps and saving."""
    for line in (dataset.info.description or "").splitlines():
        if line.startswith(_RECORD):
            record: dict[str, Any] = json.loads(line.removeprefix(_RECORD))
            return record
    return {}


def with_record(description: str | None, record: Mapping[str, Any]) -> str:
    """A description with what `read_record` reads, in place of an older record."""
    kept = [line for line in (description or "").splitlines() if not line.startswith(_RECORD)]
    return "\n".join([*kept, _RECORD + json.dumps(record)])


def recorded_source(dataset: Dataset | IterableDataset) -> dict[str, Any]:
    """Where this pool came from when `score` saw it first, or comes from now."""
    source: dict[str, Any] = read_record(dataset).get("source") or pool_source(dataset)
    return source


def _repository(dataset: Dataset | IterableDataset) -> tuple[str, str] | None:
    """The repository on the Hub and the commit that rows of this data set, or some of them, come from."""
    # The cache's folders: [owner___]name/config/version/commit.
    name = re.escape(str(dataset.info.dataset_name))
    pattern = rf".*/(?:(\w[\w.-]*)___)?({name})/[^/]+/[^/]+/([0-9a-f]{{40}})/[^/]+"
    for file in getattr(dataset, "cache_files", None) or ():
        if found := re.fullmatch(pattern, file["filename"]):
            return "/".join(part for part in found.groups()[:2] if part), found[3]
    # A stream has no files of its own: the addresses stand in what it was made from.
    steps = [getattr(dataset, "_ex_iterable", None)]
    while steps:
        step = steps.pop()
        address = r"hf://datasets/((?:[^/@\s]+/)?[^/@\s]+)@([0-9a-f]{40})/"
        if found := re.search(address, repr(getattr(step, "kwargs", ""))):
            return found[1], found[2]
        steps += [*getattr(step, "ex_iterables", ()), *filter(None, [getattr(step, "ex_iterable", None)])]
    return None


@lru_cache(maxsize=32)
def _commit(model: str, revision: str | None) -> str:
    try:
        commit = huggingface_hub.HfApi().model_info(model, revision=revision).sha
    except Exception as error:  # No such id, no network, offline: the last are the HTTP library's errors.
        commit = _cached_commit(model, revision)
        if commit is None:
            raise ModelError(
                f"expected a folder or a model id on the Hub, got {model!r}{nearest_path(model)}\n"
                f"{first_line(error)}"
            ) from error
    return str(commit)


@lru_cache(maxsize=128)
def _hub_file(model: str, name: str, revision: str | None) -> Path | None:
    try:
        return Path(huggingface_hub.hf_hub_download(model, name, revision=revision))
    except (EntryNotFoundError, OSError):
        return None


def _cached_commit(model: str, revision: str | None) -> str | None:
    try:
        file = huggingface_hub.hf_hub_download(model, "config.json", revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError):
        return None
    return Path(file).parent.name


def _stamps(folder: Path) -> tuple[tuple[str, str, int, int], ...]:
    """Name, size and time of every file, so that unchanged weights are read once a process."""
    stamps = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        # A trainer's checkpoints and hidden files lie beside a model and are no part of it.
        beside = any(part.startswith((".", "checkpoint-")) for part in inside.parts)
        if path.is_file() and not beside and path.name not in _NO_WEIGHTS:
            status = path.stat()
            stamps.append((str(path), inside.as_posix(), status.st_size, status.st_mtime_ns))
    return tuple(stamps)


@lru_cache(maxsize=32)
def _folder_digest(stamps: tuple[tuple[str, str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, name, *_ in stamps:
        with open(path, "rb") as file:
            whole.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def without_folders(text: str) -> str:
    """A text that names files of this machine, of any system, by their last names only."""
    return _FOLDERS.sub("", _QUOTED_FOLDERS.sub("", text))


def folder_name(path: str) -> str:
    """The last part of a path of any system."""
    return PureWindowsPath(path).name or "a local folder"


def versions(*packages: str) -> dict[str, Any]:
    """The installed versions of these packages."""
    return {package: version(package) for package in packages}
