"""ms-swift's format: JSON lines of `messages` and `images`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.data.conversation import Turn
from hf_vitselect.exports.base import Row
from hf_vitselect.exports.json_file import MarkedTextFormat
from hf_vitselect.exports.text import called_tools, marked_text


@dataclass(frozen=True)
class MsSwift(MarkedTextFormat):
    """A `--dataset` of ms-swift. The environment variable `ROOT_IMAGE_DIR` is the folder of the file."""

    suffix: ClassVar[str] = ".jsonl"

    def record(self, row: Row, images: Sequence[str]) -> dict[str, Any]:
        """The record of a row."""
        said = row.conversation
        messages = [_message(turn) for turn in said.turns]
        tools = {"tools": said.tools} if said.tools else {}
        return {"id": row.id, "messages": messages, "images": [*images], **tools}


def _message(turn: Turn) -> dict[str, str]:
    if turn.calls and not turn.parts:
        return {"role": "tool_call", "content": called_tools(turn)}
    return {"role": turn.role, "content": marked_text(turn)}
