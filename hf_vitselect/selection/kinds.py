"""Kinds: groups of rows by what is asked, found in the questions and answers alone.

They have two forms. A `template` is a question without the words of answers, such as "what color is the".
Where answers are open, they contain nearly every word of the questions. There a kind holds the questions that
are `nearest` to a few central ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.text import words
from hf_vitselect.errors import RowError
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import kmeans, unit_rows
from hf_vitselect.selection.json_part import JsonPart, expect

# Normalized questions hold no parentheses.
OTHERS, SEVERAL_TURNS, NO_QUESTION = _SPECIAL = ("(others)", "(several turns)", "(no question)")

_MOST_KINDS = 1000
_QUESTION_WORDS = 32  # at the start of a question, and as many at its end: between them stands context
_EXAMPLES = 5  # of each kind
_EXAMPLE_CHARACTERS = 400
_TERMS = 512  # that clustering looks at, the most frequent ones
_ROWS_PER_CLUSTER = 256  # that clustering looks at


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
        return _assign(self, _read(rows, set()))


@dataclass(frozen=True, kw_only=True)
class QuestionKinds:
    """Groups of rows by what is asked.

    The kind of a row is its first question without every word that occurs in an answer of the pool, with
    image or without. Where too few rows share that, it loses its rarest words. Where no word is left, or
    still too few rows share it, rows are pooled. Rows of several turns are one kind, unless most rows have
    several turns: then their first question counts, too.

    Where answers are whole sentences they contain nearly every word. If more than half of the questions are
    pooled or lose their first word, similar questions are clustered instead.

    Args:
        smallest: Rows of the smallest kind, 1 or more; in a large pool a thousandth of its rows.
        clusters: Number of clusters at most, 1 or more.

    Example:
        >>> labels, kinds = QuestionKinds().find(read_texts(pool))  # doctest: +SKIP
        >>> kinds.names[labels[0]]  # doctest: +SKIP
        'what color is the'
    """

    smallest: int = 20
    clusters: int = 50

    def __post_init__(self) -> None:
        for name in ("smallest", "clusters"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:  # True is an int, but no number
                raise ValueError(f"{name}: expected a number from 1, got {value!r}")

    def find(self, rows: Iterable[Conversation | RowError]) -> tuple[NDArray[np.int64], Kinds]:
        """Find the kinds of some rows.

        Args:
            rows: Conversations, whose images are only counted; an error for a row that cannot be read.

        Returns:
            Each row's kind as an index, int64 `[n]`, -1 for a row that cannot be read; and the kinds. The
            order of rows changes neither.
        """
        answer_words: set[str] = set()
        asked = _read(rows, answer_words)
        readable = int((asked.question >= 0).sum())
        smallest = max(self.smallest, readable // _MOST_KINDS)
        merged = bool(2 * asked.several_turns.sum() <= readable)
        counted = asked.whose(lambda text: text != "") & ~(asked.several_turns & merged)
        # A first word, such as "what", that answers contain is the mark of open answers. Other words may be
        # left even then, of an instruction at the end of all questions.
        lost = asked.whose(lambda text: text.partition(" ")[0] in answer_words)
        if 2 * (lost & counted).sum() <= counted.sum():
            templates = dict.fromkeys(_templates(asked, counted, answer_words, smallest), ())
            kinds = _settle("template", templates, merged, asked, smallest)
            lost |= _assign(kinds, asked) == len(kinds.kinds) - 1
        if 2 * (lost & counted).sum() > counted.sum():
            # In a small pool so few clusters that most of them are large enough.
            clusters = max(1, min(self.clusters, int(counted.sum()) // (3 * smallest)))
            central = _central_questions(asked, counted, clusters)
            kinds = _settle("nearest", central, merged, asked, smallest)
        labels = _assign(kinds, asked)
        return labels, _described(kinds, asked, labels)


@dataclass(frozen=True, eq=False)
class _Asked:
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


def _read(rows: Iterable[Conversation | RowError], answer_words: set[str]) -> _Asked:
    """Read what rows ask, and add the words of their answers to a set."""
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
        for answer in answers:
            answer_words.update(words(answer))
        asked = _first_question(row)
        text = _normalized(asked)
        written[text] = min(written.get(text, asked), asked)
        question.append(numbers.setdefault(text, len(numbers)))
        several_turns.append(len(answers) > 1)
        image.append(len(row.images) > 0)
    texts = sorted(numbers)
    rank = np.empty(len(texts) + 1, dtype=np.int64)
    rank[[numbers[text] for text in texts]] = np.arange(len(texts))
    rank[-1] = -1
    return _Asked(
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


def _normalized(question: str) -> str:
    """A question in normalized words; of a long one, its start and its end."""
    every = words(question)
    if len(every) > 2 * _QUESTION_WORDS:
        every[_QUESTION_WORDS:-_QUESTION_WORDS] = []
    return " ".join(every)


def _templates(asked: _Asked, counted: NDArray[np.bool_], answer_words: set[str], smallest: int) -> list[str]:
    """The templates of at least `smallest` rows, after rarer ones have lost their rarest words."""
    sizes = np.bincount(asked.question[counted], minlength=len(asked.texts)).tolist()
    rows: Counter[str] = Counter()  # with each word
    by_length = [Counter[tuple[str, ...]]() for _ in range(2 * _QUESTION_WORDS + 1)]
    for text, size in zip(asked.texts, sizes, strict=True):
        template = tuple(word for word in text.split() if word not in answer_words)
        by_length[len(template)][template] += size
        rows.update(dict.fromkeys(template, size))
    for templates in by_length[:0:-1]:  # the longest first: later ones gain rows
        for template in [template for template, size in templates.items() if size < smallest]:
            rarest = min(template, key=lambda word: (rows[word], word))
            shorter = tuple(word for word in template if word != rarest)
            by_length[len(shorter)][shorter] += templates.pop(template)
    return [" ".join(template) for templates in by_length[1:] for template in templates]


def _central_questions(
    asked: _Asked, counted: NDArray[np.bool_], clusters: int
) -> dict[str, tuple[str, ...]]:
    """The most central question of each cluster, and central ones as they are written."""
    question = np.sort(asked.question[counted])  # every k-th row, so that frequent questions weigh more
    sample = question[:: max(1, len(question) // (_ROWS_PER_CLUSTER * clusters))]
    distinct, inverse = np.unique(sample, return_inverse=True)
    vectors = _vectorizer(max_features=_TERMS).fit_transform([asked.texts[i] for i in distinct])
    units = unit_rows(vectors.toarray().astype(np.float32))
    labels, centroids = kmeans(units[inverse], clusters, np.random.default_rng(0))
    label = np.empty(len(distinct), dtype=np.int64)
    label[inverse] = labels
    cosines = np.einsum("nd,nd->n", units, centroids[label]).round(
        4
    )  # so that rounding errors decide nothing
    central = {}
    for cluster in range(len(centroids)):
        (members,) = np.nonzero(label == cluster)
        if len(members):
            first = distinct[members[np.argsort(-cosines[members], kind="stable")[:_EXAMPLES]]]
            central[asked.texts[first[0]]] = _written(asked, first)
    return central


def _settle(
    form: str, questions: Mapping[str, tuple[str, ...]], merged: bool, asked: _Asked, smallest: int
) -> Kinds:
    """The kinds of at least `smallest` rows, given their questions with examples, in order of size.

    Without the small kinds their rows can belong to another one, which is large enough then.
    """
    turns = (False,) if merged else (False, True)
    keys = [(question, several) for question in (*questions, NO_QUESTION) for several in turns]
    keys += [(SEVERAL_TURNS, True)] * merged
    kinds = [
        Kind(question=question, several_turns=several, image=image, examples=questions.get(question, ()))
        for question, several in keys
        for image in (True, False)
    ]
    while True:
        settled = Kinds(form=form, kinds=(*kinds, Kind(question=OTHERS)))
        labels = _assign(settled, asked)
        sizes = np.bincount(labels[labels >= 0], minlength=len(kinds) + 1).tolist()
        kinds = [
            replace(kind, rows=size) for kind, size in zip(kinds, sizes, strict=False) if size >= smallest
        ]
        if len(kinds) == len(settled.kinds) - 1:
            kinds.sort(key=lambda kind: (-kind.rows, kind.name))
            return Kinds(form=form, kinds=(*kinds, Kind(question=OTHERS, rows=sizes[-1])))


def _described(kinds: Kinds, asked: _Asked, labels: NDArray[np.int64]) -> Kinds:
    """The kinds with their most frequent questions as examples, where they have none."""
    pairs = np.stack([labels, asked.question])[:, labels >= 0]
    (label, question), sizes = np.unique(pairs, axis=1, return_counts=True)
    order = np.lexsort((question, -sizes))
    frequent = (
        _written(asked, question[order[label[order] == number]][:_EXAMPLES])
        for number in range(len(kinds.kinds))
    )
    described = (
        kind if kind.examples else replace(kind, examples=examples)
        for kind, examples in zip(kinds.kinds, frequent, strict=True)
    )
    return replace(kinds, kinds=tuple(described))


def _written(asked: _Asked, questions: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(asked.written[question][:_EXAMPLE_CHARACTERS] for question in questions)


def _assign(kinds: Kinds, asked: _Asked) -> NDArray[np.int64]:
    """Each row's kind, int64 `[n]`, -1 for a row that cannot be read."""
    questions = sorted({kind.question for kind in kinds.kinds} - {*_SPECIAL})
    assign = _same_template if kinds.form == "template" else _nearest
    match = assign(kinds, questions, asked.texts) if questions else np.full(len(asked.texts), -1)
    match[[text == "" for text in asked.texts]] = len(questions)
    rows = {question: row for row, question in enumerate([*questions, NO_QUESTION])}
    label_of = np.full((len(questions) + 2, 2, 2), len(kinds.kinds) - 1)  # the last row for -1
    for label, kind in enumerate(kinds.kinds[:-1]):
        row = slice(None) if kind.question == SEVERAL_TURNS else rows[kind.question]
        label_of[row, int(kind.several_turns), int(kind.image)] = label
    labels = label_of[np.append(match, -1)[asked.question], asked.several_turns * 1, asked.image * 1]
    return np.where(asked.question >= 0, labels, -1)


def _same_template(kinds: Kinds, templates: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """The template left of each question without the words of no template, and without one more; or -1."""
    known = {word for template in templates for word in template.split()}
    index = {tuple(template.split()): i for i, template in enumerate(templates)}
    match = []
    for text in texts:
        left = tuple(word for word in text.split() if word in known)
        ways = chain([left], combinations(left, max(len(left) - 1, 0)))
        match.append(next((index[way] for way in ways if way in index), -1))
    return np.array(match, dtype=np.int64)


def _nearest(kinds: Kinds, questions: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """The kind's question nearest to each question, the mean of its examples; -1 if they share no term."""
    examples = {kind.question: list(map(_normalized, kind.examples)) for kind in kinds.kinds}
    vectorizer = _vectorizer().fit([text for question in questions for text in examples[question]])
    means = [vectorizer.transform(examples[question]).toarray().mean(axis=0) for question in questions]
    centers = unit_rows(np.array(means)).T
    nearest = np.empty(len(texts), dtype=np.int64)
    for block in blocks(len(texts), 20_000):
        cosines = vectorizer.transform(texts[block]) @ centers
        nearest[block] = np.where(cosines.max(axis=1) > 0, cosines.argmax(axis=1), -1)
    return nearest


def _vectorizer(**options: Any) -> Any:
    """Unit vectors of words and pairs of neighboring words, all terms with one weight.

    Inverse document frequencies would group questions by the things that they ask about.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=_terms, sublinear_tf=True, use_idf=False, **options)


def _terms(text: str) -> list[str]:
    every = text.split()
    starts = ["^", *every]  # the first word says most about what is asked
    return [*every, *(f"{first} {second}" for first, second in zip(starts, every, strict=False))]
