"""OpenAI's format: JSON lines of `messages` with content parts, the images as data URIs."""

import base64
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.data.conversation import Turn
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.row_ids import content_hash
from hf_vitselect.errors import RowError
from hf_vitselect.exports.base import Row, Target
from hf_vitselect.exports.images import suffix_of
from hf_vitselect.exports.json_file import JsonFormat


@dataclass(frozen=True)
class OpenAI(JsonFormat):
    """A training file of OpenAI's API and of servers that speak it. It holds its images."""

    suffix: ClassVar[str] = ".jsonl"
    holds_images: ClassVar[bool] = True

    def checked_record(self, row: Row, target: Target) -> dict[str, Any]:
        """The record of a row, after it was read back with its images."""
        record = _record(row)
        if content_hash(find_layout(list(record)).read(record)) != content_hash(row.conversation):
            raise RowError("bad_row", "it would be read back otherwise")
        return record


def _record(row: Row) -> dict[str, Any]:
    said = row.conversation
    images = iter([_data_uri(image.encoded()) for image in said.images])
    messages = []
    for turn in said.turns:
        if None in turn.parts and turn.role != "user":
            raise RowError(
                "bad_row", f"an image in a turn of the role {turn.role!r}, and only the user's fit"
            )
        message = {"role": turn.role, "content": _content(turn, images), **turn.tool_fields}
        for call in message.get("tool_calls", ()):  # OpenAI has arguments as JSON text
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        messages.append(message)
    return {"messages": messages, **({"tools": json.loads(said.tools)} if said.tools else {})}


def _content(turn: Turn, images: Any) -> str | list[dict[str, Any]] | None:
    """The text of a turn, or its parts if it is not a single text; None if it only calls tools."""
    if not turn.parts:
        return None
    if len(turn.parts) == 1 and turn.parts[0] is not None:
        return turn.parts[0]
    return [
        {"type": "image_url", "image_url": {"url": next(images)}}
        if part is None
        else {"type": "text", "text": part}
        for part in turn.parts
    ]


def _data_uri(data: bytes) -> str:
    suffix = suffix_of(data)
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
