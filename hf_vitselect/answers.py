"""Where a chat template puts the answers: private-use markers around each of them show it."""

import itertools
from collections.abc import Callable, Iterator, Sequence

from hf_vitselect.data.conversation import Turn
from hf_vitselect.errors import RowError

_PRIVATE_USE = range(0xF8F0, 0xF8FF)


def find_answers(
    turns: Sequence[Turn], render: Callable[[Sequence[Turn]], str]
) -> tuple[str, list[tuple[int, int]]]:
    """Renders a conversation and finds its assistant turns in the text.

    Args:
        turns: the conversation.
        render: the chat template.

    Returns:
        The rendered text, and for every assistant turn the characters ``[start, end)`` of its answer, as
        much of its outer white space included as the template keeps.

    Raises:
        RowError: ``bad_row`` if the template changes or drops an answer.
    """
    start, end = _unused_markers(turns)
    plain = render(turns)
    # A template may trim an answer at either end: the markers then go inside its white space.
    for before, after in itertools.product((True, False), repeat=2):
        marked = render([_mark(turn, start, end, before, after) for turn in turns])
        if marked.replace(start, "").replace(end, "") == plain:
            break
    else:
        raise RowError("bad_row", "the chat template changes an answer; its response cannot be found")
    answers = list(_marked_spans(marked, start, end))
    if len(answers) != sum(turn.role == "assistant" for turn in turns):
        raise RowError("bad_row", "the chat template drops part of an answer")
    return plain, answers


def _unused_markers(turns: Sequence[Turn]) -> tuple[str, str]:
    used = {character for turn in turns for character in turn.text}
    free = [chr(code) for code in _PRIVATE_USE if chr(code) not in used]
    if len(free) < 2:
        raise RowError("bad_row", "the text uses every private-use character from U+F8F0 on")
    return free[0], free[1]


def _mark(turn: Turn, start: str, end: str, before: bool, after: bool) -> Turn:
    """Puts the markers around an answer: before or inside its leading, after or inside its trailing space."""
    if turn.role != "assistant":
        return turn
    parts = list(turn.parts) if any(part is not None for part in turn.parts) else [*turn.parts, ""]
    blank = not turn.text.strip()
    texts = [i for i, part in enumerate(parts) if part is not None and (blank or part.strip())]
    head = str(parts[texts[0]])
    space = 0 if before else len(head) - len(head.lstrip())
    parts[texts[0]] = head[:space] + start + head[space:]
    tail = str(parts[texts[-1]])
    space = len(tail) if after else len(tail.rstrip())
    parts[texts[-1]] = tail[:space] + end + tail[space:]
    return Turn(turn.role, tuple(parts))


def _marked_spans(marked: str, start: str, end: str) -> Iterator[tuple[int, int]]:
    """The spans between the markers, in positions of the text without them."""
    opened: int | None = None
    removed = 0
    for position, character in enumerate(marked):
        if character not in (start, end):
            continue
        if (character == start) != (opened is None):
            raise RowError("bad_row", "the chat template drops part of an answer")
        if character == start:
            opened = position - removed
        else:
            assert opened is not None
            yield opened, position - removed
            opened = None
        removed += 1
    if opened is not None:
        raise RowError("bad_row", "the chat template drops part of an answer")
