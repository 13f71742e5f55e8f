"""LLaMA-Factory's dataset_info.json: where a pool is, and the names of its columns and roles."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Features, IterableDataset, Value

from hf_vitselect.data.columns import refuse_missing
from hf_vitselect.data.dataset_layout import is_conversation_column
from hf_vitselect.data.messages import known_role
from hf_vitselect.data.stored import records, with_features
from hf_vitselect.data.tool_calls import CALL_ROLES, without_nulls
from hf_vitselect.errors import PoolError, first_line, nearest

_FILE = "dataset_info.json"
_SOURCES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_PREFERENCES = ("chosen", "rejected", "kto_tag")
_COLUMNS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output", "history": "history"},
    "sharegpt": {"messages": "messages"},
}
_COLUMNS["openai"] = _COLUMNS["sharegpt"]
_OF_ALL = {name: name for name in ("system", "tools", "images", "videos", "audios")}
# What an entry without columns stands for.
_DEFAULTS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}
_TAGS = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant"),
    "observation_tag": ("observation", "tool"),
    "function_tag": ("function_call", "function_call"),
    "system_tag": ("system", "system"),
}
"""The default of each tag, and the role that it stands for."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One data set of a dataset_info.json.

    Attributes:
        name: the entry's.
        path: the file, folder or name on the Hub.
        config: of a dataset on the Hub.
        split: of a dataset on the Hub.
        columns: the source's column by the name that this package reads.
        keys: the messages' keys of role and content; None if they need no change.
        roles: the role of each tag.
    """

    name: str
    path: str
    config: str | None
    split: str
    columns: Mapping[str, str]
    keys: tuple[str, str] | None
    roles: Mapping[str, str]

    def converted(self, rows: Any) -> Any:
        """The dataset or stream with the columns and roles of this package.

        Other columns that would be read as part of the conversation are dropped, as LLaMA-Factory does.
        """
        if isinstance(rows, IterableDataset):
            rows = with_features(rows)
        names = list(rows.column_names)
        refuse_missing(self.columns.values(), names, f"{self.name}: expected the columns of the entry, not")
        others = set(names) - set(self.columns.values())
        if unread := [name for name in names if name in others and _would_be_read(name, self.columns)]:
            _logger.warning(
                "%s: the entry does not map the columns %s, so they are dropped", self.name, unread
            )
            rows = rows.remove_columns(unread)
        # In two steps, because a stream cannot give a column the name that another one is about to lose.
        rows = rows.rename_columns({old: f"__{new}" for new, old in self.columns.items()})
        rows = rows.rename_columns({f"__{new}": new for new in self.columns})
        if self.keys is None:
            return rows
        features = Features({**rows.features, "messages": Value("string")})
        return rows.map(self._with_roles, input_columns=["messages"], features=features)

    def _with_roles(self, cell: Any) -> dict[str, Any]:
        """The messages as JSON, which holds whatever a message may hold; what is no message is kept."""
        try:
            messages = [self._message(message) for message in records(cell)]
            return {"messages": json.dumps(messages)}
        except (TypeError, ValueError):
            return {"messages": cell if isinstance(cell, str) or cell is None else repr(cell)}

    def _message(self, message: Any) -> Any:
        if not isinstance(message, Mapping) or self.keys is None:
            return message
        role, content = self.keys
        others = {key: without_nulls(value) for key, value in message.items() if key not in self.keys}
        tag: Any = message.get(role)
        return {"role": self.roles.get(tag, tag), "content": message.get(content), **others}


def find_entry(path: str, config: str | None) -> Entry | None:
    """The entry of this name in a dataset_info.json, given by its path or folder; None for other paths.

    Raises:
        PoolError: if the file has no such entry, or the entry cannot be followed.
    """
    place = Path(path).expanduser()
    file = place / _FILE if place.is_dir() else place
    if file.name != _FILE or not file.is_file() or (file.parent / "state.json").exists():
        return None
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PoolError(f"{str(file)!r} cannot be read: {first_line(error)}") from error
    if not isinstance(entries, Mapping) or not any(map(_is_entry, entries.values())):
        return None
    if config is None and len(entries) == 1:
        (config,) = entries
    if config is None or not _is_entry(entries.get(config)):
        near = nearest(config or "", entries) if config else "; give its name as dataset_config"
        raise PoolError(
            f"expected one of the entries {sorted(entries)} of {str(file)!r}, got {config!r}{near}"
        )
    return _read_entry(config, entries[config], file.parent)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, Mapping) and any(isinstance(entry.get(source), str) for source in _SOURCES)


def _read_entry(name: str, entry: Mapping[str, Any], folder: Path) -> Entry:
    if "hf_hub_url" in entry:
        path, split = entry["hf_hub_url"], entry.get("split") or "train"
    elif "file_name" in entry:
        path, split = str(folder / entry["file_name"]), "train"
    else:
        raise PoolError(f"{name}: expected file_name or hf_hub_url, got {sorted(entry)}; load it first")
    if entry.get("folder"):
        raise PoolError(f"{name}: folder={entry['folder']!r} of a dataset on the Hub is not read")
    if entry.get("num_samples"):
        _logger.warning("%s: num_samples is not applied; the pool has all rows", name)
    keys, roles = _tags(entry.get("tags") or {})
    columns = _columns(name, entry)
    return Entry(
        name, path, entry.get("subset"), split, columns, keys if "messages" in columns else None, roles
    )


def _columns(name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    formatting, mapped = entry.get("formatting") or "alpaca", entry.get("columns")
    if formatting not in _COLUMNS:
        raise PoolError(f"{name}: expected the formatting {' or '.join(_COLUMNS)}, got {formatting!r}")
    columns = {key: old for key, old in (mapped or _DEFAULTS[formatting]).items() if old}
    if entry.get("ranking") or any(key in columns for key in _PREFERENCES):
        raise PoolError(f"{name}: expected answers to train on, got preferences; choose answers first")
    known = _COLUMNS[formatting] | _OF_ALL
    if odd := sorted(columns.keys() - known.keys()):
        raise PoolError(f"{name}: expected the columns {', '.join(known)} of {formatting}, got {odd}")
    if "query" in columns and "prompt" not in columns:
        columns["prompt"] = columns.pop("query")
    needed = {"prompt", "response"} if formatting == "alpaca" else {"messages"}
    if missing := sorted(needed - columns.keys()):
        raise PoolError(
            f"{name}: expected columns with {' and '.join(sorted(needed))}, got none for {missing}"
        )
    return {known[key]: old for key, old in columns.items()}


def _tags(tags: Mapping[str, str]) -> tuple[tuple[str, str] | None, dict[str, str]]:
    """The keys of messages, None if this package reads them and the roles as they are; the roles by tag."""
    keys = tags.get("role_tag") or "from", tags.get("content_tag") or "value"
    roles = {tags.get(tag) or default: role for tag, (default, role) in _TAGS.items()}
    as_they_are = keys[0] in ("role", "from") and keys[1] in ("content", "value")
    alike = all(_meaning(tag) == _meaning(role) for tag, role in roles.items())
    return None if as_they_are and alike else keys, roles


def _meaning(role: str) -> str | None:
    return role if role in CALL_ROLES else known_role(role)


def _would_be_read(name: str, columns: Mapping[str, str]) -> bool:
    return name in columns or is_conversation_column(name)
