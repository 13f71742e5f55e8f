"""From roles and contents, in all their spellings, to turns, and from placeholders to images."""

import base64
import binascii
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image

from hf_vitselect.data.conversation import Turn
from hf_vitselect.data.images import RowImage, image_error
from hf_vitselect.data.stored import from_text, is_empty, is_record_of_lists, records
from hf_vitselect.errors import RowError

ROLES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "ai"),
    "tool": ("tool", "function", "observation"),
}
"""The spellings of each role, in any case."""

UNREAD_KEYS = (
    *("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking", "thought"),
    *("image", "images", "tools", "functions", "system", "parts", "documents"),
)
"""Keys of a message that belong to the conversation and are not understood: refused unless they are empty."""

MEDIA_KEYS = ("video", "videos", "audio", "audios")

MASK_KEYS = ("weight", "train", "loss")
"""Keys of a message by which others leave a turn out of the loss. They are not used, and that is said."""

_logger = logging.getLogger(__name__)

_ROLE_OF = {spelling: role for role, spellings in ROLES.items() for spelling in spellings}
_READ_KEYS = {"role", "content", "from", "value", "user", "assistant"}
_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image", "image_url", "input_image")
_MEDIA_PARTS = ("video", "video_url", "input_video", "audio", "audio_url", "input_audio")
_UNREAD_PARTS = (
    *("tool_use", "tool_call", "tool_result", "function_call", "thinking", "redacted_thinking", "reasoning"),
    *("document", "file", "input_file", "refusal"),
)
_INLINE_KEYS = ("image", "image_url", "url", "path", "base64", "bytes")
_OTHER_KEYS = ("type", "text", "index", "id", "detail", "cache_control")
_PART_KEYS = {*_INLINE_KEYS, *_OTHER_KEYS}

# What the base64 of PNG, JPEG, GIF, WebP begins with; no file is named like that.
_BASE64 = re.compile(r"(iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/\s]{40}")
_PLACEHOLDER = re.compile(r"<\|?image(?:[ _-]?(\d+))?\|?>")
_MEDIA_PLACEHOLDER = re.compile(r"<\|?(?:video|audio)(?:_pad)?(?:[ _-]?\d+)?\|?>", re.IGNORECASE)
# An image that is named inside of the text, as Qwen-VL's and MiniCPM's first data do.
_NAMED = re.compile(r"<(?:img|image)>[^<>\n]*</(?:img|image)>", re.IGNORECASE)
# Those of other models and tools. They are refused, not read: `<img>` or `[image]` may also be plain text.
_FOREIGN_PLACEHOLDER = re.compile(
    r"<\|?/?(image|img|picture|photo)([ _-]?(pad|token|placeholder|here|soft_token|start))?([ _-]?\d+)?"
    r" ?/?\|?>|<\|?vision_start\|?>|<start_of_image>|\[(image|img|picture)([ _-]?\d+)?\]"
    r"|\{\{? ?(image|img|picture)([ _-]?\d+)? ?\}?\}|<__media__>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Slot:
    """Where an image stands.

    Attributes:
        number: which of the row's images, if the placeholder says so.
        image: the image's cell, if the part itself holds it.
    """

    number: int | None = None
    image: Any = None


Draft = tuple[str, list[str | Slot]]
"""A role and the parts of its content."""


def read_messages(cell: Any) -> Iterator[tuple[str, Any]]:
    """Role and content of every message, under whatever keys, of a list of them in whatever form."""
    messages = records(cell)
    if isinstance(messages, Mapping) or not isinstance(messages, Iterable):
        raise ValueError(f"expected a list of messages, got {type(messages).__name__}")
    for message in map(from_text, messages):
        refuse_unread(message)
        yield _one_of(message, "role", "from"), _one_of(message, "content", "value")


def refuse_unread(message: Any) -> None:
    """Refuses a message with a part that would be left out.

    Raises:
        RowError: `media_unsupported` for video and audio.
        ValueError: if it is no record, or has something under one of `UNREAD_KEYS`.
    """
    if not isinstance(message, Mapping):
        raise ValueError(f"expected a message with role and content, got {type(message).__name__}")
    if message.keys() <= _READ_KEYS:  # as most are
        return
    for key in MEDIA_KEYS:
        if not is_empty(message.get(key)):
            raise RowError("media_unsupported", f"a message has {key!r}")
    for key in UNREAD_KEYS:
        if not is_empty(message.get(key)):
            raise ValueError(f"a message has {key!r}, which is not understood; take it out of the message")
    for key in MASK_KEYS:
        if message.get(key) not in (None, 1):  # and so not True either
            _say_unmasked(key)


@cache
def _say_unmasked(key: str) -> None:
    """Says it once in a process."""
    _logger.warning(
        "messages have %r, which is not used: every answer counts, in scores and in training; "
        "take the turns that should not count out of the rows",
        key,
    )


def draft_turns(contents: Iterable[tuple[Any, Any]]) -> list[Draft]:
    """Turns whose images are not in their places yet.

    Raises:
        RowError: `media_unsupported`.
        ValueError: for a role or a content that is not understood.
    """
    pairs = list(contents)
    written = _as_written([content for _, content in pairs])
    return [_draft(role, content) for (role, _), content in zip(pairs, written, strict=True)]


def place_images(
    drafts: Sequence[Draft], cells: Sequence[Any]
) -> tuple[tuple[Turn, ...], tuple[RowImage, ...]]:
    """Turns with their images.

    Args:
        drafts: the turns.
        cells: the images of the row's own columns, the empty ones among them.

    Returns:
        The turns, and one image for each slot in them.

    Raises:
        RowError: `placeholder_mismatch` or `image_missing`; of an open image `image_error`.
        ValueError: for a cell that is no image.
    """
    there = [cell for cell in cells if not is_empty(cell)]
    if there and not _slots(drafts):
        drafts = _images_first(drafts, len(there))
    slots = _slots(drafts)
    if any(slot.image is not None for slot in slots):
        there = _inline_images(slots, there)
    elif len(slots) != len(there):
        nulls = len(cells) - len(there)
        counts = f"{len(slots)} placeholder(s), {len(there)} image(s)"
        if nulls and (not there or len(slots) == len(cells)):
            raise RowError("image_missing", f"{counts} and {nulls} null(s)")
        raise RowError("placeholder_mismatch", counts)
    else:
        there = [there[i] for i in _order(slots)]
    turns = tuple(
        Turn(role, tuple(None if isinstance(part, Slot) else part for part in parts))
        for role, parts in drafts
    )
    return turns, tuple(map(read_image, there))


def image_cells(cell: Any) -> list[Any]:
    """The images of a cell, one or a list in whatever form, the empty ones among them.

    Raises:
        ValueError: if the cell holds pixels.
    """
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{", '"'):
        with suppress(ValueError):  # A file's name may begin like that.
            cell = from_text(cell)
    if is_record_of_lists(cell):
        cell = records(cell)
    cells = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else [cell]
    if any(isinstance(one, (list, tuple, np.ndarray)) and not is_empty(one) for one in cells):
        raise ValueError("expected images as they are encoded, got lists inside of the list, as of pixels")
    return cells


def read_image(cell: Any) -> RowImage:
    """An image from its cell: a path, base64, bytes, a record of bytes and path, or an open image.

    Raises:
        RowError: `image_error` for an open image that does not load, or a data URI without image.
        ValueError: for anything else.
    """
    if is_empty(cell):
        return RowImage()
    if isinstance(cell, str):
        if cell.startswith("data:") or _BASE64.match(cell):
            return RowImage(data=_decode(cell))
        return RowImage(path=cell.removeprefix("file://"))
    if isinstance(cell, bytes):
        return RowImage(data=cell)
    if isinstance(cell, Image.Image):
        with image_error("an image that does not load"):
            cell.load()  # Else the threads that ask for it would read its file at the same time.
        return RowImage(decoded=cell)
    if isinstance(cell, Mapping) and cell.keys() <= {"bytes", "path"}:
        data, path = cell.get("bytes"), cell.get("path")
        if not data and path:  # Without a path no bytes are a broken image, not an absent one.
            return RowImage(path=path)
        return RowImage(data=_decode(data) if isinstance(data, str) else data, path=path)
    if isinstance(cell, Mapping):
        raise ValueError(f"expected an image's bytes and path, got a record of {sorted(map(str, cell))}")
    raise ValueError(f"expected an image, got {type(cell).__name__}")


def read_text(content: Any) -> str:
    """A text, or a number as text: 42 and 42.0 are `42`.

    Raises:
        ValueError: for anything else, or text that no file can hold (a lone surrogate).
    """
    if isinstance(content, str):
        content.encode()
        return content
    if isinstance(content, (bool, np.bool_)):
        raise ValueError(f"expected text, got the truth value {content}; write it as text")
    if isinstance(content, (Integral, Decimal)):
        return str(content)
    if isinstance(content, (float, np.floating)) and math.isfinite(content):
        number = float(content)
        return str(int(number)) if abs(number) < 2**53 and number.is_integer() else repr(number)
    raise ValueError(f"expected text, got {type(content).__name__}")


def _one_of(message: Mapping[str, Any], *keys: str) -> Any:
    """What stands under the one of these keys that has something."""
    there = [key for key in keys if key in message]
    if not there:
        raise ValueError(f"expected a message with {keys[0]!r}, got one with {sorted(map(str, message))}")
    filled = [key for key in there if message[key] is not None] or there[:1]
    if len(filled) > 1:
        raise ValueError(f"expected one of {list(keys)} in a message, got both")
    return message[filled[0]]


def _as_written(contents: Sequence[Any]) -> list[Any]:
    """Contents as they were before somebody stored them as JSON text.

    Raises:
        ValueError: if each may or may not have been.
    """
    parts = [_parts_from_text(content) for content in contents]
    if not any(map(_is_quoted, contents)) or not all(map(_is_json, contents)):
        return [content if part is None else part for content, part in zip(contents, parts, strict=True)]
    if not any(parts):
        raise ValueError("every content is a text in quotes, as JSON is stored; decode the column first")
    return [
        json.loads(content) if _is_quoted(content) else content if part is None else part
        for content, part in zip(contents, parts, strict=True)
    ]


def _parts_from_text(content: Any) -> Any:
    """The content parts whose JSON this text is; None if it is any other text, or no text."""
    if not isinstance(content, str) or content.lstrip()[:1] not in ("[", "{"):
        return None
    if "type" not in content and "text" not in content:  # as most JSON
        return None
    try:
        parts = from_text(content)
    except ValueError:
        return None
    each = parts if isinstance(parts, list) else [parts]
    if not each or not all(isinstance(part, Mapping) for part in each):
        return None
    # Answers may be JSON too, of other records.
    return parts if any(map(_is_readable, each)) or all(map(_is_typed, each)) else None


def _is_readable(part: Mapping[str, Any]) -> bool:
    return part.get("type") in (*_TEXT_PARTS, *_IMAGE_PARTS) and part.keys() <= _PART_KEYS


def _is_typed(part: Mapping[str, Any]) -> bool:
    known = (*_TEXT_PARTS, *_IMAGE_PARTS, *_MEDIA_PARTS, *_UNREAD_PARTS)
    return part.get("type") in known or part.keys() == {"text"}


def _is_quoted(content: Any) -> bool:
    return isinstance(content, str) and len(content) > 1 and content[0] == content[-1] == '"'


def _is_json(content: Any) -> bool:
    if isinstance(content, str):
        try:
            json.loads(content)
        except (ValueError, RecursionError):
            return False
    return True


def _draft(role: Any, content: Any) -> Draft:
    known = _ROLE_OF.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise ValueError(f"unknown role {role!r}, expected one of {sorted(_ROLE_OF)}")
    return known, list(_parts(known, content))


def _parts(role: str, content: Any) -> Iterator[str | Slot]:
    if content is None or (isinstance(content, float) and math.isnan(content)):
        return
    if is_record_of_lists(content):
        content = records(content)
    if not isinstance(content, (list, tuple, np.ndarray)):
        yield from _split(role, read_text(content))
        return
    for part in content:
        stored = _parts_from_text(part)
        yield from _part(role, part if stored is None else stored)


def _part(role: str, part: Any) -> Iterator[str | Slot]:
    if isinstance(part, str):
        yield from _split(role, part)
        return
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _MEDIA_PARTS:
        raise RowError("media_unsupported", f"a part of type {kind!r}")
    inline = [key for key in _INLINE_KEYS if kind and key in part and not is_empty(part[key])]
    other = [key for key in part if key not in _PART_KEYS and not is_empty(part[key])] if kind else []
    if kind in _TEXT_PARTS and not inline and not other:
        yield from _split(role, "" if part["text"] is None else read_text(part["text"]))
    elif kind in _IMAGE_PARTS and len(inline) < 2 and not other and is_empty(part.get("text")):
        number = None if is_empty(part.get("index")) else int(part["index"])
        yield Slot(number, _inline_image(part, inline[0]) if inline else None)
    else:
        raise ValueError(f"expected a text or an image, got the part {_short(part)}")


def _inline_image(part: Mapping[str, Any], key: str) -> Any:
    """The image that a part itself holds."""
    image = part[key]
    if isinstance(image, Mapping) and "url" in image:
        image = image["url"]
    return _decode(image) if key == "base64" else image


def _split(role: str, text: str) -> Iterator[str | Slot]:
    """The text's parts. An answer that spells a placeholder is text; only questions place images."""
    if role == "assistant":
        yield read_text(text)
        return
    if media := _MEDIA_PLACEHOLDER.search(text):
        raise RowError("media_unsupported", f"the placeholder {media[0]!r}")
    if named := _NAMED.search(text):
        raise RowError(
            "placeholder_mismatch", f"{named[0]!r} names an image in the text; write <image> alone"
        )
    pieces = _PLACEHOLDER.split(read_text(text))
    last = len(pieces) - 1
    for i in range(0, len(pieces), 2):
        if i > 0:
            yield Slot(int(pieces[i - 1]) if pieces[i - 1] else None)
        piece = pieces[i].removeprefix("\n" if i > 0 else "").removesuffix("\n" if i < last else "")
        if piece or last == 0:
            yield piece


def _slots(drafts: Sequence[Draft]) -> list[Slot]:
    return [part for _, parts in drafts for part in parts if isinstance(part, Slot)]


def _images_first(drafts: Sequence[Draft], images: int) -> Sequence[Draft]:
    """Images without placeholders stand before the first user text.

    Raises:
        RowError: `placeholder_mismatch` if there is a placeholder, but one of another model or tool.
    """
    for role, parts in drafts:
        for part in parts:
            if role != "assistant" and (found := _FOREIGN_PLACEHOLDER.search(str(part))):
                raise RowError(
                    "placeholder_mismatch",
                    f"{found[0]!r} looks like an image placeholder, but is not read; write <image>",
                )
    first = next((i for i, (role, _) in enumerate(drafts) if role == "user"), None)
    if first is None:
        return drafts
    asked: Draft = ("user", [*[Slot()] * images, *drafts[first][1]])
    return [*drafts[:first], asked, *drafts[first + 1 :]]


def _inline_images(slots: Sequence[Slot], there: Sequence[Any]) -> list[Any]:
    if there:
        raise RowError("placeholder_mismatch", "images both in the contents and in a column of their own")
    without = sum(slot.image is None for slot in slots)
    if without:
        raise RowError("placeholder_mismatch", f"{without} of {len(slots)} image parts without their image")
    return [slot.image for slot in slots]


def _order(slots: Sequence[Slot]) -> Sequence[int]:
    """Which of the row's images each slot shows: the next one, or the one that it numbers."""
    numbers = [slot.number for slot in slots if slot.number is not None]
    if not numbers:
        return range(len(slots))
    first = min(numbers)
    if first > 1 or sorted(numbers) != list(range(first, first + len(slots))):
        raise RowError("placeholder_mismatch", f"placeholders numbered {numbers} for {len(slots)} image(s)")
    return [number - first for number in numbers]


def _decode(text: Any) -> bytes:
    """The bytes of a data URI, or of plain base64."""
    try:
        text = "".join((text.partition("base64,")[2] or text).split())
        return base64.b64decode(text, validate=True)
    except (AttributeError, TypeError, binascii.Error) as error:
        raise RowError("image_error", f"expected an image in base64, got {_short(text)}: {error}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
