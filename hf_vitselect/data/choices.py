"""Multiple choice: the lettered choices under a question, and the letter of the right one."""

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from hf_vitselect.data.stored import short
from hf_vitselect.data.turns import read_text

_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")


def lettered(choices: Sequence[str]) -> list[str]:
    """The choices as lines, `A. red`, unless they have their letters already."""
    if len(choices) > len(ascii_uppercase):
        raise ValueError(f"expected at most {len(ascii_uppercase)} choices, got {len(choices)}")
    letters = ascii_uppercase[: len(choices)]
    if all(re.match(rf"\(?{letter}[).:]", choice) for letter, choice in zip(letters, choices, strict=True)):
        return list(choices)
    return [f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True)]


def letter_of(answer: Any, choices: Sequence[str]) -> str:
    """The letter of the right choice.

    Args:
        answer: its index from 0, its letter, or its text.
        choices: the texts of all.

    Raises:
        ValueError: if the answer names none of them, or more than one.
    """
    if answer is None:
        raise ValueError("the answer is null")
    text = read_text(answer).strip()
    named = {index for index, choice in enumerate(choices) if choice.strip() == text}
    if re.fullmatch(r"\d+(\.0+)?", text):  # pandas writes whole numbers among nulls as 1.0
        named.add(int(float(text)))
    if letter := _LETTER.fullmatch(text):
        named.add(ascii_uppercase.index(letter[1].upper()))
    named = {index for index in named if index < len(choices)}
    if len(named) != 1:
        count = "one of the choices, got none" if not named else "one choice, got several"
        raise ValueError(
            f"expected an answer that names {count}: {short(answer)} of {short(list(choices))}; "
            "give its index from 0, its letter or its text"
        )
    return ascii_uppercase[named.pop()]
