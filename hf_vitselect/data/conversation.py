"""The conversation in a row: turns of text with slots for images, and the images.

Three words that are used throughout: an *answer* is the text of an assistant turn; a *response* is what
training supervises, an answer and the end-of-turn token after it; a *completion* is a column.
"""

import json
from dataclasses import dataclass
from typing import Any

from hf_vitselect.data.images import RowImage


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    Attributes:
        name: of the tool.
        arguments: a JSON object.
        id: what the result refers to, if the row says.
    """

    name: str
    arguments: str
    id: str | None = None

    def __str__(self) -> str:
        return f'{{"name": {json.dumps(self.name, ensure_ascii=False)}, "arguments": {self.arguments}}}'


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        parts: texts in order; `None` is a slot for the conversation's next image.
        calls: the tools that an assistant turn calls after its texts.
        call_id: of a tool turn, the id of the call that it answers.
        name: of a tool turn, the name of its tool.
    """

    role: str
    parts: tuple[str | None, ...]
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The turn's texts joined, without its images; then each tool call in a line of JSON."""
        texts = "".join(part for part in self.parts if part is not None)
        return "\n".join([*([texts] if texts else []), *map(str, self.calls)]) if self.calls else texts

    @property
    def tool_fields(self) -> dict[str, Any]:
        """The keys of its message besides role and content, as OpenAI has them and chat templates read them.

        Arguments of tool calls are records there, not their JSON.
        """
        calls = [
            {
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
                **({} if call.id is None else {"id": call.id}),
            }
            for call in self.calls
        ]
        about = {"tool_call_id": self.call_id, "name": self.name}
        known = {key: value for key, value in about.items() if value is not None}
        return ({"tool_calls": calls} if calls else {}) | known


@dataclass(frozen=True)
class Conversation:
    """A row of any layout.

    Attributes:
        turns: the messages in order.
        images: one for each slot, in order.
        tools: a JSON list of the tools for the chat template to describe.
    """

    turns: tuple[Turn, ...]
    images: tuple[RowImage, ...] = ()
    tools: str | None = None

    @property
    def transcript(self) -> str:
        """The whole conversation as `USER: ... ASSISTANT: ...`, without its images."""
        tools = f"TOOLS: {self.tools} " if self.tools else ""
        return tools + " ".join(f"{turn.role.upper()}: {turn.text.strip()}" for turn in self.turns)
