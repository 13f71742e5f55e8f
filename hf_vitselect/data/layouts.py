"""The conversation layouts: one table that says which columns hold the turns and how to read them.

To add a layout, add a line to `LAYOUTS`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_vitselect.data.choices import letter_of, lettered
from hf_vitselect.data.messages import Message, messages_from_text, read_messages, refuse_unread
from hf_vitselect.data.stored import JsonText, from_text, is_empty, records, short
from hf_vitselect.data.turns import parts_from_text, read_text

CONTEXT_COLUMNS = (
    *("context", "contexts", "passage", "passages", "hint", "hints", "lecture", "paragraph", "paragraphs"),
    *("document", "documents", "article", "background", "text"),
)
"""Columns that belong to a question and are not read: an error next to one."""

ASKED_COLUMNS = ("question", "questions", "query", "prompt", "instruction", "input", "inputs", "problem")
"""Columns that hold a question: an error next to another one."""

ANSWERED_COLUMNS = ("answer", "answers", "response", "output", "outputs", "completion", "solution")
"""Columns that hold an answer: an error next to a caption, which is one."""

STRUCTURES = ("messages", "conversations", "texts", "prompt", "completion", "choices", "options", "history")
"""Columns that may hold lists or records; the others of a layout hold text."""


@dataclass(frozen=True)
class KnownLayout:
    """A layout.

    Attributes:
        text_columns: the columns of the turns, which a pool must have.
        read_messages: reads a row's messages from its cells.
        example: a row, for docs/guides/rows.md.
        optional: columns that are read if a pool has them.
        unread: columns that are an error next to these.
        can_be_metadata: whether the columns are ignored next to another layout's.
    """

    text_columns: tuple[str, ...]
    read_messages: Callable[[Mapping[str, Any]], Iterable[Message]]
    example: Mapping[str, Any]
    optional: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    can_be_metadata: bool = False


def _messages(column: str, row: Mapping[str, Any]) -> Iterator[Message]:
    yield from read_messages(row[column])


def _prompt_completion(row: Mapping[str, Any]) -> Iterator[Message]:
    for role, name in (("user", "prompt"), ("assistant", "completion")):
        side = row[name]
        if side is None:
            raise ValueError(f"the {name} is null")
        if isinstance(side, str) and (messages := messages_from_text(side)) is not None:
            side = messages
        if isinstance(side, str) or not hasattr(side, "__len__"):
            yield Message(role, side if parts_from_text(side) is not None else _unmixed_text(side))
        else:
            yield from read_messages(side)


def _cauldron(row: Mapping[str, Any]) -> Iterator[Message]:
    for text in map(from_text, records(row["texts"])):
        refuse_unread(text)
        yield Message("user", text["user"])
        yield Message("assistant", text["assistant"])


def _pair(question: str, answer: str, row: Mapping[str, Any]) -> Iterator[Message]:
    """A question and its answer in columns of their own, after the pairs of the history."""
    yield from _history(row)
    yield Message("user", _text(row, question))
    yield Message("assistant", _text(row, answer))


def _alpaca(row: Mapping[str, Any]) -> Iterator[Message]:
    yield from _history(row)
    given = row.get("input")  # `[]` and `null` may be code that is asked about
    more = [] if given == "" or (not isinstance(given, str) and is_empty(given)) else [_text(row, "input")]
    asked = [] if is_empty(row["instruction"]) and more else [_text(row, "instruction")]
    yield Message("user", "\n".join([*filter(None, asked), *more]))
    yield Message("assistant", _text(row, "output"))


def _caption(row: Mapping[str, Any]) -> Iterator[Message]:
    yield Message("user", [{"type": "image"}])
    yield Message("assistant", _text(row, "caption"))


def _multiple_choice(column: str, row: Mapping[str, Any]) -> Iterator[Message]:
    choices = None if is_empty(row[column]) else from_text(row[column])
    if choices is None:  # an open question among others
        yield from _pair("question", "answer", row)
        return
    question = _text(row, "question")
    if isinstance(choices, Mapping) or not hasattr(choices, "__len__"):
        raise ValueError(f"expected a list of texts in {column!r}, got {type(choices).__name__}")
    texts = [read_text(choice) for choice in choices]
    lines = [question, *(f"\n{line}" for line in lettered(texts))]
    # As parts where images stand in the choices, since a placeholder takes a line break next to it.
    yield Message("user", lines if any("<" in text for text in texts) else "".join(lines))
    yield Message("assistant", letter_of(row["answer"], texts))


def _history(row: Mapping[str, Any]) -> Iterator[Message]:
    history = row.get("history")
    if is_empty(history):
        return
    for pair in from_text(history):
        if isinstance(pair, (str, Mapping)) or len(pair) != 2:
            raise ValueError("expected pairs of a question and its answer in the history")
        for role, text in zip(("user", "assistant"), pair, strict=True):
            yield Message(role, read_text(text))


def _text(row: Mapping[str, Any], column: str) -> str:
    if row[column] is None:
        raise ValueError(f"the {column} is null")
    try:
        return _unmixed_text(row[column])
    except ValueError as error:
        raise ValueError(f"the {column}: {error}") from error


def _unmixed_text(cell: Any) -> str:
    """A text that is one beyond doubt: in a column of mixed types a list and its text look the same."""
    if isinstance(cell, JsonText) and cell.startswith(("[", "{", "t", "f")):  # also true and false
        raise ValueError(
            f"expected text, got {short(str(cell))} in a column of mixed types; make all of them texts"
        )
    return read_text(cell)


_QUESTION, _IMAGE = "What color is it?", "<the image>"
_CHOICES = ["blue", "red"]
LAYOUTS = (
    KnownLayout(
        ("messages",),
        partial(_messages, "messages"),
        {
            "messages": [
                {"role": "user", "content": f"<image>\n{_QUESTION}"},
                {"role": "assistant", "content": "red"},
            ],
            "images": [_IMAGE],
        },
    ),
    KnownLayout(
        ("prompt", "completion"),
        _prompt_completion,
        {"prompt": _QUESTION, "completion": "red", "images": [_IMAGE]},
        unread=("label", "kto_tag"),  # whether the completion is a good one
    ),
    KnownLayout(
        ("conversations",),
        partial(_messages, "conversations"),
        {
            "conversations": [
                {"from": "human", "value": f"<image>\n{_QUESTION}"},
                {"from": "gpt", "value": "red"},
            ],
            "image": _IMAGE,
        },
    ),
    KnownLayout(
        ("texts",),
        _cauldron,
        {"texts": [{"user": _QUESTION, "assistant": "red"}], "images": [_IMAGE]},
    ),
    KnownLayout(
        ("instruction", "output"),
        _alpaca,
        {
            "instruction": "Answer in one word.",
            "input": _QUESTION,
            "output": "red",
            "history": [["Hello", "Hi"]],
            "images": [_IMAGE],
        },
        optional=("input", "history"),
        # `prompt` and `text` often hold the same once more, formatted.
        unread=tuple({*CONTEXT_COLUMNS, *ASKED_COLUMNS} - {"prompt", "text"}),
    ),
    KnownLayout(
        ("query", "response"),
        partial(_pair, "query", "response"),
        {
            "query": f"<image>{_QUESTION}",
            "response": "red",
            "history": [["Hello", "Hi"]],
            "images": [_IMAGE],
        },
        optional=("history",),
        unread=(*CONTEXT_COLUMNS, *ASKED_COLUMNS),
    ),
    KnownLayout(
        ("question", "answer"),
        partial(_pair, "question", "answer"),
        {"question": _QUESTION, "answer": "red", "image": _IMAGE},
        unread=(*CONTEXT_COLUMNS, *ASKED_COLUMNS),
    ),
    *(
        KnownLayout(
            ("question", column, "answer"),
            partial(_multiple_choice, column),
            {"question": _QUESTION, column: _CHOICES, "answer": answer, "image": _IMAGE},
            unread=(*CONTEXT_COLUMNS, *ASKED_COLUMNS),
        )
        for column, answer in (("choices", 1), ("options", "B"))
    ),
    KnownLayout(
        ("caption",),
        _caption,
        {"caption": "a red dot", "image": _IMAGE},
        unread=(*ASKED_COLUMNS, *ANSWERED_COLUMNS),
        can_be_metadata=True,
    ),
)

_CALL = {"name": "zoom", "arguments": {"times": 2}}
TOOL_EXAMPLES: tuple[Mapping[str, Any], ...] = (
    {
        "messages": [
            {"role": "user", "content": f"<image>{_QUESTION}"},
            {"role": "assistant", "tool_calls": [{"type": "function", "id": "1", "function": _CALL}]},
            {"role": "tool", "tool_call_id": "1", "content": "a red dot"},
            {"role": "assistant", "content": "red"},
        ],
        "tools": [{"type": "function", "function": {"name": "zoom"}}],
        "images": [_IMAGE],
    },
    {
        "conversations": [
            {"from": "human", "value": f"<image>{_QUESTION}"},
            {"from": "function_call", "value": json.dumps(_CALL)},
            {"from": "observation", "value": "a red dot"},
            {"from": "gpt", "value": "red"},
        ],
        "tools": '[{"name": "zoom"}]',
        "images": [_IMAGE],
    },
)
"""Rows with tool calls, for docs/guides/rows.md."""
