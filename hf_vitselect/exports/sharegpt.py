"""ShareGPT's format: JSON lines of `conversations` with `from` and `value`, and `images`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.data.conversation import Turn
from hf_vitselect.exports.base import Row
from hf_vitselect.exports.json_file import MarkedTextFormat
from hf_vitselect.exports.text import called_tools, marked_text

_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def sharegpt_turn(turn: Turn) -> dict[str, str]:
    """A turn with `from` and `value`."""
    if turn.calls and not turn.parts:
        return {"from": "function_call", "value": called_tools(turn)}
    return {"from": _NAMES[turn.role], "value": marked_text(turn)}


@dataclass(frozen=True)
class ShareGPT(MarkedTextFormat):
    """Turns as in ShareGPT, with `<image>` for each of the `images`, a system turn, and `tools` as JSON."""

    suffix: ClassVar[str] = ".jsonl"

    def record(self, row: Row, images: Sequence[str]) -> dict[str, Any]:
        """The record of a row."""
        said = row.conversation
        turns = [sharegpt_turn(turn) for turn in said.turns]
        tools = {"tools": said.tools} if said.tools else {}
        return {"id": row.id, "conversations": turns, "images": [*images], **tools}
