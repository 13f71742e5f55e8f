"""Views of a row: all of it, or less, so that two losses show the value of a part.

A view keeps the answers as they are, since losses are taken over their tokens.
"""

from collections.abc import Callable
from dataclasses import replace

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.errors import RowError

View = Callable[[Conversation], Conversation]


def whole(row: Conversation) -> Conversation:
    """The row as it is."""
    return row


def without_images(row: Conversation) -> Conversation:
    """The row's text alone, without images and their placeholders."""
    if not row.images:
        raise RowError("image_missing", "a row without image has nothing to leave out")
    turns = (
        replace(turn, parts=tuple(part for part in turn.parts if part is not None)) for turn in row.turns
    )
    return replace(row, turns=tuple(turns), images=())


def without_questions(row: Conversation) -> Conversation:
    """The row with blank user turns; their images stay."""
    # System and tool turns stay too: they ask nothing, and many chat templates write a system turn of their
    # own that could not be left out.
    turns = tuple(_blank(turn) if turn.role == "user" else turn for turn in row.turns)
    return replace(row, turns=turns)


def _blank(turn: Turn) -> Turn:
    return Turn(turn.role, tuple(part for part in turn.parts if part is None))
