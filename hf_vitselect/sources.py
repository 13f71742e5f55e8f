"""Which exact weights a model's name stands for: a commit on the Hub, or a digest of a folder's files."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import LocalEntryNotFoundError

from hf_vitselect.errors import ModelError


def identify(model: str, revision: str | None = None) -> dict[str, str]:
    """The exact weights behind a name.

    Args:
        model: a Hub id or a folder.
        revision: a commit, branch or tag on the Hub.

    Returns:
        ``{"model": ..., "commit": ...}`` for the Hub, ``{"model": ..., "digest": ...}`` for a folder,
        where the digest is a sha256 over the names and contents of the folder's files.

    Raises:
        ModelError: if it is neither a folder nor known to the Hub or to the local cache.
    """
    if os.path.isdir(model):
        return {"model": model, "digest": _folder_digest(_stamps(Path(model)))}
    try:
        commit = huggingface_hub.HfApi().model_info(model, revision=revision).sha
    except Exception as error:  # No such id, no network, offline: the last are the HTTP library's errors.
        commit = _cached_commit(model, revision)
        if commit is None:
            raise ModelError(f"expected a folder or a model id on the Hub, got {model!r}: {error}") from error
    return {"model": model, "commit": str(commit)}


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
        if path.is_file() and not any(part.startswith((".", "checkpoint-")) for part in inside.parts):
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


def versions(*packages: str) -> dict[str, Any]:
    """The installed versions of these packages."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}
