"""The texts of rows, normalized: what counts as the same text, the same answer and the same word."""

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import regex
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError

NUMBER = "0"
"""The word that stands for every number."""

# A word is a run of letters. In scripts without spaces between words, each letter is a word.
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(
    rf"[{_NO_SPACES}]\p{{M}}*|[[\p{{L}}\p{{M}}_]--[{_NO_SPACES}]]+|\p{{Nd}}+(?:[^\p{{L}}\p{{M}}\p{{Nd}}_]+\p{{Nd}}+)*",
    regex.VERSION1,
)
_ASCII_WORD = re.compile(r"[a-z_]+|\d+(?:[^a-z_\d]+\d+)*", re.ASCII)  # the same, but faster


def normalized(text: str) -> str:
    """A text without differences of case and whitespace."""
    return " ".join(text.lower().split())


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters; a longer one ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def one_line(text: str, most: int = 120) -> str:
    """A text as one line of printable characters, cut at `most`."""
    return cut(" ".join("".join(c if c.isprintable() else " " for c in text).split()), most)


def first_answers(rows: Iterable[Conversation | RowError]) -> NDArray[np.object_]:
    """Each row's first answer, normalized and without punctuation at its end.

    Returns:
        Texts, `[n]`; empty for a row that has no answer or cannot be read.
    """
    return np.array([_first_answer(row) for row in rows], dtype=object)


def words(text: str) -> list[str]:
    """A text's words in order: lower case, no punctuation, every number or list of numbers as `NUMBER`.

    Examples:
        >>> words("Is it 3.5, or 4, cm?")
        ['is', 'it', '0', 'or', '0', 'cm']
    """
    if text.isascii():
        runs = _ASCII_WORD.findall(text.lower())
    else:
        runs = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [NUMBER if run[0].isdecimal() else run for run in runs]


def _first_answer(row: Conversation | RowError) -> str:
    turns = () if isinstance(row, RowError) else row.turns
    answer = next((normalized(turn.text) for turn in turns if turn.role == "assistant"), "")
    return answer.rstrip(".!?,;:。！？ ") or answer
