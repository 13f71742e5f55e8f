"""Where a chat template puts the tool calls of an answer, and whether it writes all of them."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hf_vitselect.data.conversation import ToolCall, Turn
from hf_vitselect.errors import RowError

Render = Callable[[Sequence[Turn]], str]


def call_span(turns: Sequence[Turn], index: int, plain: str, render: Render, marker: str) -> tuple[int, int]:
    """The characters `[start, end)` of the answer at `index`, with its text, in the rendered text `plain`.

    They are what the template writes in place of an answer without calls.

    Raises:
        RowError: `bad_row` if the template leaves out a name, an argument or a text of the answer, or frames
            it unlike other answers.
    """
    _refuse_dropped_call(turns, index, render, marker)
    # Some templates refuse a tool's result after an answer without calls: then without what follows.
    for stop in dict.fromkeys((len(turns), index + 1)):
        span = _replaced(turns[:stop], index, render, marker)
        if span is not None and plain.startswith(span[0]):
            return span[1], len(span[0])
    raise RowError("bad_row", "the chat template frames a tool call unlike an answer: it cannot be found")


def _replaced(turns: Sequence[Turn], index: int, render: Render, marker: str) -> tuple[str, int] | None:
    """The rendered text up to the end of the answer, and the answer's start; None if it is not found."""
    later = [mark_texts(turn, marker) for turn in turns[index + 1 :]]
    try:
        called = render(turns)
        framed = render([*turns[:index], Turn("assistant", (marker,)), *later])
    except RowError:
        return None
    before, _, after = framed.partition(marker)
    # Some templates write a tool's result next to its call alone: it would pass for a part of the answer.
    if after.count(marker) != sum(turn.text.count(marker) for turn in later):
        return None
    after = after.replace(marker, "")
    if not called.startswith(before):
        before = before.rstrip()
    if not called.endswith(after):
        after = after.lstrip()
    end = len(called) - len(after)
    fits = called.startswith(before) and called.endswith(after) and len(before) < end
    return (called[:end], len(before)) if fits else None


def mark_texts(turn: Turn, marker: str) -> Turn:
    """Put the marker after each text that is not an answer, before its trailing white space."""
    if turn.role == "assistant":
        return turn
    parts = [re.sub(r"(?<=\S)(?=\s*\Z)", marker, part) if part else part for part in turn.parts]
    return replace(turn, parts=tuple(parts))


def _refuse_dropped_call(turns: Sequence[Turn], index: int, render: Render, marker: str) -> None:
    """Refuse a row if the template does not write every name, argument and text of an answer with calls."""
    turn = turns[index]
    parts = tuple(f"{part}{marker}" if part and part.strip() else part for part in turn.parts)
    calls = tuple(_marked_call(call, marker) for call in turn.calls)
    marked = replace(turn, parts=parts, calls=calls)
    written = render([*turns[:index], marked, *turns[index + 1 :]]).count(marker)
    if written < marked.text.count(marker):
        raise RowError("bad_row", "the chat template leaves out a tool call or a part of it")


def _marked_call(call: ToolCall, marker: str) -> ToolCall:
    arguments = json.dumps(_marked(json.loads(call.arguments), marker), ensure_ascii=False)
    return replace(call, name=call.name + marker, arguments=arguments)


def _marked(value: Any, marker: str) -> Any:
    """JSON with the marker in every key and every value."""
    if isinstance(value, dict):
        return {key + marker: _marked(inner, marker) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner, marker) for inner in value]
    return f"{value}{marker}"
