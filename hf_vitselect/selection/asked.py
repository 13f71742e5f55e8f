"""The questions of rows: the distinct ones in normalized words, and which row asks which."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.text import words
from hf_vitselect.errors import RowError

_QUESTION_WORDS = 32  # at the start of a question, and as many at its end: between them stands context
MOST_WORDS = 2 * _QUESTION_WORDS
"""Words of a normalized question at most."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The questions of n rows.

    Attributes:
        texts: The distinct questions in normalized words, sorted.
        written: Each of them as it is written.
        question: int64 `[n]`, the index of each row's question; -1 for a row that cannot be read.
        several_turns: bool `[n]`.
        image: bool `[n]`.
    """

    texts: list[str]
    written: list[str]
    question: NDArray[np.int64]
    several_turns: NDArray[np.bool_]
    image: NDArray[np.bool_]

    def whose(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Whether each row's question passes a test, bool `[n]`; False for a row that cannot be read."""
        return np.array([*map(test, self.texts), False])[self.question]


def read_asked(rows: Iterable[Conversation | RowError], answer_words: set[str] | None = None) -> Asked:
    """Read what rows ask, and add the words of their answers to a set, if there is one."""
    written: dict[str, str] = {}
    numbers: dict[str, int] = {}
    question, several_turns, image = [], [], []
    for row in rows:
        if isinstance(row, RowError):
            question.append(-1)
            several_turns.append(False)
            image.append(False)
            continue
        answers = [turn.text for turn in row.turns if turn.role == "assistant"]
        if answer_words is not None:
            answer_words.update(*map(words, answers))
        asked = _first_question(row)
        text = normalized_question(asked)
        written[text] = min(written.get(text, asked), asked)
        question.append(numbers.setdefault(text, len(numbers)))
        several_turns.append(len(answers) > 1)
        image.append(len(row.images) > 0)
    texts = sorted(numbers)
    rank = np.empty(len(texts) + 1, dtype=np.int64)
    rank[[numbers[text] for text in texts]] = np.arange(len(texts))
    rank[-1] = -1
    return Asked(
        texts,
        [written[text] for text in texts],
        rank[np.array(question, dtype=np.int64)],
        np.array(several_turns, dtype=bool),
        np.array(image, dtype=bool),
    )


def _first_question(row: Conversation) -> str:
    """The text of all user turns before the first answer."""
    parts: list[str] = []
    for turn in row.turns:
        if turn.role == "assistant":
            break
        if turn.role == "user":
            parts += [part for part in turn.parts if part is not None]
    return " ".join(parts)


def normalized_question(question: str) -> str:
    """A question in normalized words; of a long one, its start and its end."""
    every = words(question)
    if len(every) > 2 * _QUESTION_WORDS:
        every[_QUESTION_WORDS:-_QUESTION_WORDS] = []
    return " ".join(every)
