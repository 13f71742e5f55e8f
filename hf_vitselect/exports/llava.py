"""LLaVA's own format: a JSON list of `id`, `image` and `conversations`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_vitselect.errors import RowError
from hf_vitselect.exports.base import Row
from hf_vitselect.exports.json_file import MarkedTextFormat
from hf_vitselect.exports.text import (
    marked_text,
    refuse_not_alternating,
    refuse_roles,
    refuse_tools,
)

_NAMES = {"user": "human", "assistant": "gpt"}


@dataclass(frozen=True)
class Llava(MarkedTextFormat):
    """LLaVA's `--data_path`, with the folder of the file as `--image_folder`.

    It holds one image a row or none, and questions and answers in turn. Its trainer drops a system prompt.
    """

    suffix: ClassVar[str] = ".json"

    def record(self, row: Row, images: Sequence[str]) -> dict[str, Any]:
        """The record of a row."""
        said = row.conversation
        refuse_roles(said, "user", "assistant")
        refuse_tools(said)
        refuse_not_alternating(said)
        if len(images) > 1:
            raise RowError("bad_row", f"{len(images)} images, and one fits")
        turns = [{"from": _NAMES[turn.role], "value": marked_text(turn)} for turn in said.turns]
        return {"id": row.id, **({"image": images[0]} if images else {}), "conversations": turns}
