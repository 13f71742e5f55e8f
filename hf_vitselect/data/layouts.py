"""The conversation layouts: one table that says which columns hold the turns and how to read them.

To add a layout, add a line to `LAYOUTS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_vitselect.data.stored import records
from hf_vitselect.data.turns import messages_from_text, read_messages, read_text, refuse_unread


@dataclass(frozen=True)
class KnownLayout:
    """The columns of the turns, how to read `(role, content)` pairs from a row, and a row for the docs."""

    text_columns: tuple[str, ...]
    read_contents: Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]
    example: Mapping[str, Any]


def _messages(column: str, row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from read_messages(row[column])


def _prompt_completion(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for role, name in (("user", "prompt"), ("assistant", "completion")):
        side = row[name]
        if side is None:
            raise ValueError(f"the {name} is null")
        if isinstance(side, str) and (messages := messages_from_text(side)) is not None:
            side = messages
        if isinstance(side, str) or not hasattr(side, "__len__"):
            yield role, read_text(side)
        else:
            yield from read_messages(side)


def _cauldron(row: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for text in records(row["texts"]):
        refuse_unread(text)
        yield "user", text["user"]
        yield "assistant", text["assistant"]


_QUESTION, _IMAGE = "What color is it?", "<the image>"
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
)
