"""Messages as turns: the spellings of roles, the forms of contents, and the parts that are refused."""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from hf_vitselect.data.conversation import ToolCall
from hf_vitselect.data.images import from_base64
from hf_vitselect.data.placeholders import Draft, Slot, split_text
from hf_vitselect.data.stored import JsonText, from_text, is_empty, is_record_of_lists, records, short
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
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image", "image_url", "input_image")
_MEDIA_PARTS = ("video", "video_url", "input_video", "audio", "audio_url", "input_audio")
_UNREAD_PARTS = (
    *("tool_use", "tool_call", "tool_result", "function_call", "thinking", "redacted_thinking", "reasoning"),
    *("document", "file", "input_file", "refusal"),
)
_INLINE_KEYS = ("image", "image_url", "url", "path", "base64", "bytes")
_PART_KEYS = {*_INLINE_KEYS, "type", "text", "index", "id", "detail", "cache_control"}


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


def draft_turns(messages: Iterable[Message]) -> list[Draft]:
    """Turns with slots whose images are not known yet."""
    read = list(messages)
    roles = [_known_role(message.role) for message in read]
    for message, role in zip(read, roles, strict=True):
        if role in ("user", "assistant") and _is_null(message.content) and not message.calls:
            raise ValueError(f"the content of a turn of {message.role!r} is null")
    unquoted = _unquoted(roles, [message.content for message in read])
    return [
        Draft(role, _parts(role, content), message.calls, message.call_id, message.name)
        for message, role, content in zip(read, roles, unquoted, strict=True)
    ]


def without_images(cell: Any) -> Any:
    """Messages or parts, stored in any form, whose image parts only place the next image of a column."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        try:
            stored = from_text(cell)
        except ValueError:
            return cell
        bare = without_images(stored)
        return cell if bare == stored else bare
    if isinstance(cell, Mapping):
        if cell.get("type") in _IMAGE_PARTS:
            return {"type": "image"}
        return {key: without_images(value) for key, value in cell.items()}
    return [without_images(value) for value in cell] if isinstance(cell, list) else cell


def read_text(content: Any) -> str:
    """A text, or a number as text: 42 and 42.0 are `42`."""
    if isinstance(content, str):
        if not content.isascii():
            content.encode()  # refuses half a surrogate pair
        return content
    if isinstance(content, (bool, np.bool_)):
        raise ValueError(f"expected text, got the boolean {content}; write it as text")
    if isinstance(content, (Integral, Decimal)):
        return str(content)
    if isinstance(content, (float, np.floating)) and math.isfinite(content):
        number = float(content)
        return str(int(number)) if abs(number) < 2**53 and number.is_integer() else repr(number)
    raise ValueError(f"expected text, got {type(content).__name__}")


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
    """The role that a spelling stands for."""
    return _ROLE_OF.get(role.strip().lower()) if isinstance(role, str) else None


def _known_role(role: Any) -> str:
    known = known_role(role)
    if known is None:
        raise ValueError(f"unknown role {role!r}, expected one of {sorted(_ROLE_OF)}")
    return known


def _unquoted(roles: Sequence[str], contents: Sequence[Any]) -> list[Any]:
    """Contents as they were before somebody stored them as JSON text.

    An answer may be such JSON itself, so it is parts only if it was stored as JSON, or a question is parts.
    """
    texts = [content for content in contents if isinstance(content, str)]
    if not {"[", "{", '"'}.intersection([text.lstrip()[:1] for text in texts]):  # the usual case
        return list(contents)
    parts = [parts_from_text(content) for content in contents]
    asked_in_parts = any(
        part is not None and role != "assistant" for part, role in zip(parts, roles, strict=True)
    )
    parts = [
        part if role != "assistant" or asked_in_parts or isinstance(content, JsonText) else None
        for part, role, content in zip(parts, roles, contents, strict=True)
    ]
    if len(texts) < 2 or not any(map(_is_quoted, texts)) or not all(map(_is_json, texts)):
        return [content if part is None else part for content, part in zip(contents, parts, strict=True)]
    if not any(parts):
        raise ValueError("every content is a text in quotes, as JSON is stored; decode the column first")
    return [
        json.loads(content) if _is_quoted(content) else content if part is None else part
        for content, part in zip(contents, parts, strict=True)
    ]


def parts_from_text(content: Any) -> Any:
    """The content parts whose JSON this text is; None for any other content."""
    if not isinstance(content, str) or content.lstrip()[:1] not in ("[", "{"):
        return None
    if "type" not in content and "text" not in content:  # most JSON answers
        return None
    try:
        parts = from_text(content)
    except ValueError:
        return None
    each = parts if isinstance(parts, list) else [parts]
    if not each or not all(isinstance(part, Mapping) for part in each):
        return None
    # An answer may be JSON too, of other records.
    return parts if any(map(_is_readable, each)) or all(map(_is_typed, each)) else None


def _is_readable(part: Mapping[str, Any]) -> bool:
    return part.get("type") in (*_TEXT_PARTS, *_IMAGE_PARTS) and part.keys() <= _PART_KEYS


def _is_typed(part: Mapping[str, Any]) -> bool:
    known = (*_TEXT_PARTS, *_IMAGE_PARTS, *_MEDIA_PARTS, *_UNREAD_PARTS)
    return part.get("type") in known or part.keys() == {"text"}


def _is_quoted(content: Any) -> bool:
    return isinstance(content, str) and len(content) > 1 and content[0] == content[-1] == '"'


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_null(content: Any) -> bool:
    return content is None or (isinstance(content, float) and math.isnan(content))


def _parts(role: str, content: Any) -> list[str | Slot]:
    if isinstance(content, str):
        return split_text(role, read_text(content))
    if _is_null(content):
        return []
    if is_record_of_lists(content):
        content = records(content)
    if not isinstance(content, (list, tuple, np.ndarray)):
        return split_text(role, read_text(content))
    parts: list[str | Slot] = []
    for part in content:
        stored = parts_from_text(part)
        parts += _part(role, part if stored is None else stored)
    return parts


def _part(role: str, part: Any) -> list[str | Slot]:
    if isinstance(part, str):
        return split_text(role, read_text(part))
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _MEDIA_PARTS:
        raise RowError("media_unsupported", f"a part of type {kind!r}")
    inline = [key for key in _INLINE_KEYS if kind and key in part and not is_empty(part[key])]
    other = [key for key in part if key not in _PART_KEYS and not is_empty(part[key])] if kind else []
    if kind in _TEXT_PARTS and not inline and not other:
        return split_text(role, "" if part["text"] is None else read_text(part["text"]))
    if kind in _IMAGE_PARTS and len(inline) < 2 and not other and is_empty(part.get("text")):
        number = None if is_empty(part.get("index")) else int(part["index"])
        return [Slot(number, _inline_image(part, inline[0]) if inline else None)]
    raise ValueError(f"expected a text or an image, got the part {short(part)}")


def _inline_image(part: Mapping[str, Any], key: str) -> Any:
    """The image that a content part itself holds."""
    image = part[key]
    if isinstance(image, Mapping) and "url" in image:
        image = image["url"]
    return from_base64(image) if key == "base64" else image
