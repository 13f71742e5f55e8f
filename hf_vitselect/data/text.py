"""The texts of rows, normalized: what counts as the same text, the same answer and the same word."""

import re
import unicodedata

import regex

from hf_vitselect.data.conversation import Conversation

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


def first_answer(row: Conversation) -> str:
    """A row's first answer, normalized, without punctuation at its end; empty if the row has none."""
    answer = next((normalized(turn.text) for turn in row.turns if turn.role == "assistant"), "")
    return answer.rstrip(".!?,;:。！？ ") or answer


def words(text: str) -> list[str]:
    """A text's words in order: lower case, no punctuation, every number or list of numbers as `NUMBER`.

    Example:
        >>> words("Is it 3.5, or 4, cm?")
        ['is', 'it', '0', 'or', '0', 'cm']
    """
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [NUMBER if word[0].isdecimal() else word for word in found]
