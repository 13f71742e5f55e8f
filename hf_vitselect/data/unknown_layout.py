"""The message about columns of no known layout: the nearest one, and a `map` that converts to it."""

import difflib
from collections.abc import Sequence

from hf_vitselect.data.layouts import LAYOUTS

_TURNS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns")
_ASKED = ("question", "query", "prompt", "instruction", "input", "problem", "user", "human", "q")
_ANSWERED = (
    *("answer", "multiple_choice_answer", "response", "completion", "output", "answers", "solution"),
    *("target", "label"),
    *("assistant", "gpt", "reply", "a", "chosen"),
)
_CAPTION = ("caption", "captions", "description", "text", "title")


def unknown_layout(columns: Sequence[str], texts: Sequence[str]) -> str:
    """The message for columns of no known layout, which ends with three lines that convert them.

    Args:
        columns: All of them.
        texts: Those that do not hold images or other media by their names.
    """
    known = ", ".join("+".join(layout.text_columns) for layout in LAYOUTS)
    layout, cells = _nearest(columns, texts)
    made = ", ".join(f"{name!r}: row[{cell!r}]" for name, cell in cells.items())
    used = [cell for name, cell in cells.items() if cell != name]
    return (
        f"expected one of the conversation layouts {known} (with images or image), "
        f"got the columns {list(columns)}; the nearest is {layout}:\n"
        "def convert(row):\n"
        f"    return {{{made}}}\n"
        f"dataset = dataset.map(convert, remove_columns={used})"
    )


def _nearest(columns: Sequence[str], texts: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The nearest layout, and for each of its columns the one that seems to hold it."""
    if turns := _like(columns, _TURNS):
        return "messages", {"messages": turns}
    asked, answered = _like(columns, _ASKED), _like(columns, _ANSWERED)
    if (asked and answered) or not (caption := _like(columns, _CAPTION)):
        others = [name for name in texts if name not in (asked, answered)] or list(texts) or ["?"]
        asked, answered = asked or others[0], answered or others[-1]
        return "question+answer", {"question": asked, "answer": answered}
    return "caption", {"caption": caption}


def _like(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column with one of these names, or the most similar one."""
    lower = {column.lower(): column for column in columns}
    long = [name for name in names if len(name) > 3]
    close = [match for name in long for match in difflib.get_close_matches(name, lower, 1, 0.8)]
    return next((lower[name] for name in [*names, *close] if name in lower), None)
