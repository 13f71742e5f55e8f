"""Messages as rows hold them: their keys, the spellings of roles, and what is refused."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hf_vitselect.data.conversation import ToolCall
from hf_vitselect.data.stored import from_text, is_empty, records
from hf_vitselect.data.tool_calls import CALL_KEYS, CALL_ROLES, read_calls
from hf_vitselect.errors import RowError

ROLES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "ai"),
    "tool": ("tool", "function", "observation", "tool_response"),
}
"""The spellings of each role, in any case."""

PLAIN_KEYS = (
    *("id", "uid", "uuid", "hashed_ip", "index", "turn", "name", "author", "username", "country", "state"),
    *(
        "source",
        "data_source",
        "dataset",
        "split",
        "url",
        "model",
        "model_name",
        "version",
        "lang",
        "language",
    ),
    *("date", "time", "timestamp", "create_time", "createdAt", "status", "finish_reason", "stop_reason"),
    *("category", "task", "topic", "difficulty", "quality", "rating", "score", "label", "tag", "tags"),
    *("usage", "logprobs", "header", "cache_control", "meta", "metadata"),
)
"""Keys of a message that say nothing, as do those that end in `_id` or `_at`. Texts, lists and records under
other keys are refused."""

MEDIA_KEYS = ("video", "videos", "audio", "audios")

MASK_KEYS = ("weight", "train", "loss")
"""Keys with which other tools leave a turn out of the loss. They are ignored, with a warning."""

_logger = logging.getLogger(__name__)

_ROLE_OF = {spelling: role for role, spellings in ROLES.items() for spelling in spellings}
_ROLE_OF |= dict.fromkeys(CALL_ROLES, "assistant")
_READ_KEYS = {"role", "content", "from", "value", "user", "assistant", *CALL_KEYS}
_NOT_REFUSED = {*_READ_KEYS, *PLAIN_KEYS, *MASK_KEYS}


class Message(NamedTuple):
    """A message as a row holds it: its role in any spelling, its content in any form, its tool calls read."""

    role: Any
    content: Any
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None


def read_messages(cell: Any) -> Iterator[Message]:
    """Every message in a list, whatever its keys and however the list is stored.

    Calls in several messages without anything between them are one message's: it calls several tools.
    """
    messages = records(cell)
    if isinstance(messages, Mapping) or not isinstance(messages, Iterable):
        raise ValueError(f"expected a list of messages, got {type(messages).__name__}")
    calling: Message | None = None
    for each in messages:
        message = _message(from_text(each), in_text=isinstance(cell, str) or isinstance(each, str))
        if calling is not None and message.role == calling.role:
            calling = calling._replace(calls=calling.calls + message.calls)
            continue
        if calling is not None:
            yield calling
        calling = message if message.role in CALL_ROLES else None
        if calling is None:
            yield message
    if calling is not None:
        yield calling


def _message(message: Any, in_text: bool) -> Message:
    refuse_unread(message)
    role = _one_of(message, "role", "from")
    role = role.strip().lower() if isinstance(role, str) else role
    held = [message[key] for key in CALL_KEYS if key in message and not is_empty(message[key])]
    if role in CALL_ROLES:
        held.append(_one_of(message, "content", "value"))
    if not held:
        about = (message.get("tool_call_id"), message.get("name")) if _ROLE_OF.get(role) == "tool" else ()
        answered = [None if is_empty(value) else str(value) for value in about]
        return Message(role, _one_of(message, "content", "value"), (), *answered)
    if len(held) > 1 or not (role in CALL_ROLES or _ROLE_OF.get(role) == "assistant"):
        raise ValueError(f"expected tool calls once, in an assistant turn, got them in a turn of {role!r}")
    content = None if role in CALL_ROLES else message.get("content", message.get("value"))
    return Message(role, content, read_calls(held[0], in_text))


def messages_from_text(text: str) -> Any:
    """The messages whose JSON a text is; None for any other text."""
    if text.lstrip()[:1] not in ("[", "{") or not ("role" in text or "from" in text):
        return None
    try:
        messages = records(text)
    except ValueError:
        return None
    each = [isinstance(message, Mapping) and {"role", "from"} & message.keys() for message in messages]
    return messages if isinstance(messages, list) and each and all(each) else None


def refuse_unread(message: Any) -> None:
    """Refuse a message with a part that would be left out.

    Raises:
        RowError: `media_unsupported` for video and audio.
        ValueError: if it is not a record, or a key may hold a part of the conversation; see `PLAIN_KEYS`.
    """
    if not isinstance(message, Mapping):
        raise ValueError(f"expected a message with role and content, got {type(message).__name__}")
    if message.keys() <= _READ_KEYS:  # the usual case
        return
    for key in MEDIA_KEYS:
        if not is_empty(message.get(key)):
            raise RowError("media_unsupported", f"a message has {key!r}")
    for key, value in message.items():
        if key in _NOT_REFUSED or value is None or str(key).endswith(("_id", "_at")):
            continue
        if isinstance(value, (int, float, np.number, np.bool_)) or (key, value) == ("type", "message"):
            continue
        if not is_empty(value):
            raise ValueError(f"a message has {key!r}, which is not understood; remove it from the message")
    for key in MASK_KEYS:
        if message.get(key) not in (None, 1):  # True equals 1.
            _warn_of_mask(key)


@cache
def _warn_of_mask(key: str) -> None:
    """Warn once per process."""
    _logger.warning(
        "messages have %r, which is ignored: every answer counts, in scoring and in training; "
        "remove the turns that should not count",
        key,
    )


def _one_of(message: Mapping[str, Any], key: str, other: str) -> Any:
    """The value under whichever of two keys has one."""
    value, second = message.get(key), message.get(other)
    if value is None:
        if second is None and key not in message and other not in message:
            raise ValueError(f"expected a message with {key!r}, got one with {sorted(map(str, message))}")
        return second
    if second is not None:
        raise ValueError(f"expected one of {[key, other]} in a message, got both")
    return value


def known_role(role: Any) -> str | None:
    """The role that a spelling stands for, if any."""
    return _ROLE_OF.get(role.strip().lower()) if isinstance(role, str) else None


def role_of(role: Any) -> str:
    """The role that a spelling stands for.

    Raises:
        ValueError: for any other word.
    """
    known = known_role(role)
    if known is None:
        raise ValueError(f"unknown role {role!r}, expected one of {sorted(_ROLE_OF)}")
    return known
