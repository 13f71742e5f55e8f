"""Turns as texts, with placeholders for images and JSON for tool calls; and what does not fit into them."""

import json

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.errors import RowError

PLACEHOLDER = "<image>"


def marked_text(turn: Turn) -> str:
    """The text of a turn with `<image>` in a line of its own for each image."""
    return "\n".join(PLACEHOLDER if part is None else part for part in turn.parts)


def called_tools(turn: Turn) -> str:
    """The calls of a turn as ShareGPT and ms-swift write them: the JSON of one, or of a list."""
    calls = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in turn.calls]
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def refuse_spelled_placeholders(row: Conversation) -> None:
    """Refuse a text that spells the placeholder: readers other than ours count those of answers too."""
    for number, turn in enumerate(row.turns, start=1):
        if any(part is not None and PLACEHOLDER in part for part in turn.parts):
            raise RowError("placeholder_mismatch", f"turn {number} spells {PLACEHOLDER!r} in its text")


def refuse_roles(row: Conversation, *roles: str) -> None:
    """Refuse a turn of another role."""
    if other := next((turn.role for turn in row.turns if turn.role not in roles), None):
        raise RowError("bad_row", f"a turn of the role {other!r}, and only {' and '.join(roles)} turns fit")


def refuse_tools(row: Conversation) -> None:
    """Refuse tools."""
    if row.tools:
        raise RowError("bad_row", "tools, which do not fit")


def refuse_not_alternating(row: Conversation) -> None:
    """Refuse turns that are not a question and its answer, in turn. A tool's result counts as a question."""
    asks = [turn.role != "assistant" for turn in row.turns if turn.role != "system"]
    if not asks or asks != [True, False] * (len(asks) // 2):
        raise RowError(
            "bad_row", "turns that are not questions and answers in turn, beginning with a question"
        )


def split_system(row: Conversation) -> tuple[str | None, tuple[Turn, ...]]:
    """The system prompt that begins a conversation, and the turns after it.

    Raises:
        RowError: If it has an image, or if there is a further one.
    """
    first, *rest = row.turns or (Turn("user", ()),)
    system, turns = (first, tuple(rest)) if first.role == "system" else (None, row.turns)
    if (system and None in system.parts) or any(turn.role == "system" for turn in turns):
        raise RowError("bad_row", "a system turn with an image, or after the first turn")
    return (None if system is None else marked_text(system)), turns
