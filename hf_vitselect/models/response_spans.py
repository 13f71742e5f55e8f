"""Where a chat template puts the answers, found by private-use markers around each of them."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from hf_vitselect.data.conversation import Turn
from hf_vitselect.errors import RowError
from hf_vitselect.models.tool_call_spans import call_span, mark_texts

_PRIVATE_USE = range(0xF8F0, 0xF8FF)
_THINKING = re.compile(
    r"\s*(?P<open><(think|thinking|thought|reasoning)>|\[THINK\]|◁think▷)?"
    r"(?P<thought>.*)(?P<close></(think|thinking|thought|reasoning)>|\[/THINK\]|◁/think▷)",
    re.DOTALL,
)
"""Thinking before an answer, up to its last closing tag."""


def answer_spans(
    turns: Sequence[Turn], render: Callable[[Sequence[Turn]], str]
) -> tuple[str, list[tuple[int, int]]]:
    """Render a conversation: its text, and the characters `[start, end)` of every answer in it.

    The spans include the outer white space that the template keeps. A template may drop the thinking before
    an answer, as some do in all turns but the last, or change the white space around it, but nothing else.
    The span of an answer with tool calls is all that the template writes in place of another answer's text.
    """
    plain = render(turns)
    texts = iter(_text_spans(turns, plain, render))
    return plain, [
        call_span(turns, i, plain, render, _unused_markers(turns)[0]) if turn.calls else next(texts)
        for i, turn in enumerate(turns)
        if turn.role == "assistant"
    ]


def _text_spans(
    turns: Sequence[Turn], plain: str, render: Callable[[Sequence[Turn]], str]
) -> list[tuple[int, int]]:
    """The spans of the answers without tool calls."""
    markers = _unused_markers(turns)
    thoughts = [_thought(turn) for turn in turns]
    try:
        return _find(turns, [0] * len(turns), plain, render, markers)
    except RowError:
        if not any(thoughts):
            raise
    after_thoughts = [len(thought[0]) if thought else 0 for thought in thoughts]
    spans = _find(turns, after_thoughts, plain, render, markers)
    own = [thought for turn, thought in zip(turns, thoughts, strict=True) if _is_text_answer(turn)]
    return [
        (_thought_start(plain, first, thought), last)
        for (first, last), thought in zip(spans, own, strict=True)
    ]


def _is_text_answer(turn: Turn) -> bool:
    return turn.role == "assistant" and not turn.calls


def refuse_dropped(turns: Sequence[Turn], render: Callable[[Sequence[Turn]], str]) -> None:
    """Refuse a conversation if the template leaves out a text that is not an answer.

    Some templates know no system or tool turns, take a system turn only while the last turn is the user's,
    or read only the first part of a turn.
    """
    marker, _ = _unused_markers(turns)
    marked = [mark_texts(turn, marker) for turn in turns]
    texts = [turn.text.count(marker) for turn in marked]
    if render(marked).count(marker) >= sum(texts):
        return
    for i, turn in enumerate(marked):
        if render([*turns[:i], turn, *turns[i + 1 :]]).count(marker) < texts[i]:
            raise RowError("bad_row", f"the chat template leaves out a text of a {turn.role} turn")


def _find(
    turns: Sequence[Turn],
    skipped: Sequence[int],
    plain: str,
    render: Callable[[Sequence[Turn]], str],
    markers: tuple[str, str],
) -> list[tuple[int, int]]:
    """The spans of the answers, each without its first `skipped` characters."""
    start, end = markers
    # A template may trim an answer at either end: the markers then go inside its white space.
    for before, after in itertools.product((True, False), repeat=2):
        pairs = zip(turns, skipped, strict=True)
        marked = render([_mark(turn, skip, start, end, before, after) for turn, skip in pairs])
        if marked.replace(start, "").replace(end, "") == plain:
            break
    else:
        raise RowError("bad_row", "the chat template changes an answer; its response cannot be found")
    answers = _marked_spans(marked, start, end)
    if len(answers) != sum(map(_is_text_answer, turns)):
        raise RowError("bad_row", "the chat template drops part of an answer")
    return answers


def _thought(turn: Turn) -> re.Match[str] | None:
    """The thinking at the start of an answer."""
    first = next((part for part in turn.parts if part is not None and part.strip()), "")
    return _THINKING.match(first) if _is_text_answer(turn) else None


def _thought_start(plain: str, answer: int, thought: re.Match[str] | None) -> int:
    """The start of an answer's thinking in the rendered text; the answer's own start if it was dropped."""
    if thought is None:
        return answer
    opening, text, closing = (thought[name] or "" for name in ("open", "thought", "close"))
    pattern = rf"(?:{re.escape(opening)}\s*)?{re.escape(text.strip())}\s*{re.escape(closing)}\s*"
    begins = plain.rfind(text.strip() or closing, 0, answer)
    for start in (plain.rfind(opening, 0, begins + 1), begins):
        if start >= 0 and re.compile(pattern).fullmatch(plain, start, answer):
            return start
    return answer


def _unused_markers(turns: Sequence[Turn]) -> tuple[str, str]:
    used = {character for turn in turns for character in turn.text}
    free = [chr(code) for code in _PRIVATE_USE if chr(code) not in used]
    if len(free) < 2:
        raise RowError("bad_row", "the text uses every private-use character from U+F8F0 on")
    return free[0], free[1]


def _mark(turn: Turn, skip: int, start: str, end: str, before: bool, after: bool) -> Turn:
    """Put the markers around an answer: before or inside its leading, after or inside its trailing space.

    The first `skip` characters stay before the marker.
    """
    if not _is_text_answer(turn):
        return turn
    parts = list(turn.parts) if any(part is not None for part in turn.parts) else [*turn.parts, ""]
    blank = not turn.text.strip()
    texts = [i for i, part in enumerate(parts) if part is not None and (blank or part.strip())]
    head = str(parts[texts[0]])
    space = skip if before else len(head) - len(head[skip:].lstrip())
    parts[texts[0]] = head[:space] + start + head[space:]
    tail = str(parts[texts[-1]])
    space = len(tail) if after else len(tail.rstrip())
    parts[texts[-1]] = tail[:space] + end + tail[space:]
    return replace(turn, parts=tuple(parts))


def _marked_spans(marked: str, start: str, end: str) -> list[tuple[int, int]]:
    """The spans between the markers, in positions of the text without them."""
    pieces = re.split(f"([{start}{end}])", marked)
    markers = pieces[1::2]
    if markers != [start, end] * (len(markers) // 2):
        raise RowError("bad_row", "the chat template drops part of an answer")
    positions = list(itertools.accumulate(map(len, pieces[::2])))[: len(markers)]
    return list(zip(positions[::2], positions[1::2], strict=True))
