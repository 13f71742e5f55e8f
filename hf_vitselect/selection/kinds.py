"""Kinds: groups of rows by what is asked, as a recipe keeps them.

They have two forms. A `template` is a question without the words of answers, such as "what color is the".
Where answers are open, they contain nearly every word of the questions. There a kind holds the questions that
are `nearest` to a few central ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import unit_rows
from hf_vitselect.selection.asked import Asked, normalized_question, read_asked
from hf_vitselect.selection.json_part import JsonPart, expect

# Normalized questions hold no parentheses.
OTHERS, SEVERAL_TURNS, NO_QUESTION = _SPECIAL = ("(others)", "(several turns)", "(no question)")


@dataclass(frozen=True, kw_only=True)
class Kind(JsonPart):
    """One kind of rows.

    Attributes:
        question: What is asked, in normalized words: a template or a central question; or one of `OTHERS`,
            `SEVERAL_TURNS` and `NO_QUESTION`.
        several_turns: Whether its rows have several answers.
        image: Whether its rows have images.
        rows: Rows of the pool, 0 or more.
        examples: Questions of the pool as they are written: frequent ones, or central ones in the form
            `nearest`.
    """

    question: str
    several_turns: bool = False
    image: bool = True
    rows: int = 0
    examples: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The kind's question, and what else sets the kind apart; no two kinds of a pool share it."""
        several = self.several_turns and self.question != SEVERAL_TURNS
        return f"{self.question}{' + several turns' * several}{' + no image' * (not self.image)}"


@dataclass(frozen=True, kw_only=True)
class Kinds(JsonPart):
    """The kinds of a pool with all that is needed to assign new rows: the part of a recipe.

    Attributes:
        form: `template` or `nearest`.
        kinds: The kinds, the largest first. The last one has all other rows and may have none.
    """

    form: str
    kinds: tuple[Kind, ...]

    @classmethod
    def from_json(cls, value: Any, name: str) -> Self:
        """Read any JSON value; `name` says where it stands. A SelectionError names the field at fault."""
        kinds = super().from_json(value, name)
        expect(kinds.form in ("template", "nearest"), f"{name}.form", "'template' or 'nearest'", kinds.form)
        names = list(kinds.names)
        expect(names[-1:] == [OTHERS], f"{name}.kinds", f"a list whose last kind is {OTHERS!r}", names[-1:])
        expect(len(set(names)) == len(names), f"{name}.kinds", "distinct kinds", names)
        bare = [kind.name for kind in kinds.kinds if kind.question not in _SPECIAL and not kind.examples]
        expect(kinds.form == "template" or not bare, f"{name}.kinds", "examples of each kind", bare)
        return kinds

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each kind."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def examples(self) -> tuple[tuple[str, ...], ...]:
        """Example questions of each kind."""
        return tuple(kind.examples for kind in self.kinds)

    def assign(self, rows: Iterable[Conversation | RowError]) -> NDArray[np.int64]:
        """Return each row's kind as an index, int64 `[n]`; -1 for a row that cannot be read.

        The rows in which the kinds were found get the same kinds again.
        """
        return self.labels(read_asked(rows))

    def labels(self, asked: Asked) -> NDArray[np.int64]:
        """Return the kind of each row by what it asks, as `assign` does."""
        questions = sorted({kind.question for kind in self.kinds} - {*_SPECIAL})
        match_of = _same_template if self.form == "template" else _nearest
        match = match_of(self.kinds, questions, asked.texts) if questions else np.full(len(asked.texts), -1)
        match[[text == "" for text in asked.texts]] = len(questions)
        rows = {question: row for row, question in enumerate([*questions, NO_QUESTION])}
        label_of = np.full((len(questions) + 2, 2, 2), len(self.kinds) - 1)  # the last row for -1
        for label, kind in enumerate(self.kinds[:-1]):
            row = slice(None) if kind.question == SEVERAL_TURNS else rows[kind.question]
            label_of[row, int(kind.several_turns), int(kind.image)] = label
        labels = label_of[np.append(match, -1)[asked.question], asked.several_turns * 1, asked.image * 1]
        return np.where(asked.question >= 0, labels, -1)


def _same_template(
    kinds: Sequence[Kind], templates: Sequence[str], texts: Sequence[str]
) -> NDArray[np.int64]:
    """The template left of each question without the words of no template, and without one more; or -1."""
    known = {word for template in templates for word in template.split()}
    index = {tuple(template.split()): i for i, template in enumerate(templates)}
    match = []
    for text in texts:
        left = tuple(word for word in text.split() if word in known)
        ways = chain([left], combinations(left, max(len(left) - 1, 0)))
        match.append(next((index[way] for way in ways if way in index), -1))
    return np.array(match, dtype=np.int64)


def _nearest(kinds: Sequence[Kind], questions: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """The kind's question nearest to each question, the mean of its examples; -1 if they share no term."""
    examples = {kind.question: list(map(normalized_question, kind.examples)) for kind in kinds}
    vectorizer = question_vectorizer().fit([text for question in questions for text in examples[question]])
    means = [vectorizer.transform(examples[question]).toarray().mean(axis=0) for question in questions]
    centers = unit_rows(np.array(means)).T
    nearest = np.empty(len(texts), dtype=np.int64)
    for block in blocks(len(texts), 20_000):
        cosines = vectorizer.transform(texts[block]) @ centers
        nearest[block] = np.where(cosines.max(axis=1) > 0, cosines.argmax(axis=1), -1)
    return nearest


def question_vectorizer(**options: Any) -> Any:
    """Unit vectors of words and pairs of neighboring words, all terms with one weight.

    Inverse document frequencies would group questions by the things that they ask about.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=_terms, sublinear_tf=True, use_idf=False, **options)


def _terms(text: str) -> list[str]:
    every = text.split()
    starts = ["^", *every]  # the first word says most about what is asked
    return [*every, *(f"{first} {second}" for first, second in zip(starts, every, strict=False))]
