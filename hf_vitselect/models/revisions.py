"""The exact weights and code behind a model's name."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from hf_vitselect.errors import ModelError, first_line, nearest_path

_NO_WEIGHTS = {"README.md", "training_args.bin"}
_CONFIGS = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def identify(model: str, revision: str | None = None) -> dict[str, Any]:
    """Find the exact weights behind a name.

    `{"model": ..., "commit": ...}` for the Hub, `{"model": ..., "digest": ...}` for a folder: a sha256 over
    the names and contents of its files, except its card and training arguments. For a PEFT adapter also
    `base`, the same of its base model.
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
    """Refuse a revision of a folder, where it would have no effect; TRL's default is fine."""
    if os.path.isdir(model) and revision not in (None, "main"):
        raise ModelError(
            f"revision: expected none for the folder {model}, got {revision!r}; give the folder with those "
            "weights, or a model id on the Hub"
        )


def adapter_base(model: str, revision: str | None = None) -> tuple[str, str | None] | None:
    """The base model of a PEFT adapter and its revision; None for a whole model."""
    folder = os.path.isdir(model)
    name = "adapter_config.json"
    file = Path(model, name) if folder else _hub_file(model, name, _commit(model, revision))
    if file is None or not file.exists():
        return None
    config = json.loads(file.read_text())
    base = config.get("base_model_name_or_path")
    if not base:
        raise ModelError(
            f"expected an adapter that names its base model, got base_model_name_or_path={base!r} in "
            f"adapter_config.json of {model}; write the base model's Hub id or folder there"
        )
    if str(config.get("init_lora_weights")).startswith("pissa_niter"):
        # It fits a base model whose weights a random start has changed, each time in another way.
        raise ModelError(
            f"expected an adapter of a base model that can be loaded again, got {model} with "
            f"init_lora_weights={config['init_lora_weights']!r}; train one with 'pissa', or merge it right "
            "after its training"
        )
    # transformers would apply the adapter to the whole model.
    if folder and Path(model, "config.json").exists():
        raise ModelError(
            f"expected a whole model or an adapter, got both in {model}; move "
            "adapter_config.json away if the adapter is merged into the model, else config.json"
        )
    return str(base), config.get("revision")


def remote_code(model: str, revision: str | None = None) -> list[dict[str, str]]:
    """The code of other repositories that a model's files name, which `trust_remote_code` runs.

    `{"model": repository, "commit": ...}` for each, in the order of their names. Code next to the
    weights belongs to the model's own digest or commit.
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
    """Whether an identity consists of commits, which never change, and of no folder, which may."""
    parts = [part for part in identity.values() if isinstance(part, Mapping)]
    return "commit" in identity and all(is_pinned(part) for part in parts)


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
    """Name, size and time of every file, so that each process reads unchanged weights once."""
    stamps = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        # A trainer's checkpoints and hidden files are not part of the model.
        foreign = any(part.startswith((".", "checkpoint-")) for part in inside.parts)
        if path.is_file() and not foreign and path.name not in _NO_WEIGHTS:
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
