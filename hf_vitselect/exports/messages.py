"""Messages with content parts and tool calls, as OpenAI has them and chat templates read them."""

import json
from typing import Any

from hf_vitselect.data.conversation import Turn


def tool_fields(turn: Turn) -> dict[str, Any]:
    """The keys of a message besides role and content: calls, or the call that a tool answers.

    The arguments of calls are records.
    """
    calls = [
        {
            **({"id": call.id} if call.id else {}),
            "type": "function",
            "function": {"name": call.name, "arguments": json.loads(call.arguments)},
        }
        for call in turn.calls
    ]
    fields = {"tool_calls": calls, "tool_call_id": turn.call_id, "name": turn.name}
    return {name: value for name, value in fields.items() if value}


def called_tools(turn: Turn) -> str:
    """The calls of a turn as ShareGPT and ms-swift write them: the JSON of one, or of a list."""
    calls = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in turn.calls]
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
