"""Messages as turns: the forms of contents, as texts and parts, and the parts that are refused."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np

from hf_vitselect.data.images import from_base64
from hf_vitselect.data.messages import Message, role_of
from hf_vitselect.data.placeholders import Draft, Slot, split_text
from hf_vitselect.data.stored import JsonText, from_text, is_empty, is_record_of_lists, records, short
from hf_vitselect.errors import RowError

_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image", "image_url", "input_image")
_MEDIA_PARTS = ("video", "video_url", "input_video", "audio", "audio_url", "input_audio")
_UNREAD_PARTS = (
    *("tool_use", "tool_call", "tool_result", "function_call", "thinking", "redacted_thinking", "reasoning"),
    *("document", "file", "input_file", "refusal"),
)
_INLINE_KEYS = ("image", "image_url", "url", "path", "base64", "bytes")
_PART_KEYS = {*_INLINE_KEYS, "type", "text", "index", "id", "detail", "cache_control"}


def draft_turns(messages: Iterable[Message]) -> list[Draft]:
    """Turns with slots whose images are not known yet."""
    read = list(messages)
    roles = [role_of(message.role) for message in read]
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
