"""The kinds of a pool's questions, found in the questions and answers alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.errors import RowError
from hf_vitselect.rules.clusters import kmeans, unit_rows
from hf_vitselect.selection.asked import MOST_WORDS, Asked, read_asked
from hf_vitselect.selection.kinds import (
    NO_QUESTION,
    OTHERS,
    SEVERAL_TURNS,
    Kind,
    Kinds,
    question_vectorizer,
)

_MOST_KINDS = 1000
_EXAMPLES = 5  # of each kind
_EXAMPLE_CHARACTERS = 400
_TERMS = 512  # that clustering looks at, the most frequent ones
_ROWS_PER_CLUSTER = 256  # that clustering looks at


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

    Examples:
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
        asked = read_asked(rows, answer_words)
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
            lost |= kinds.labels(asked) == len(kinds.kinds) - 1
        if 2 * (lost & counted).sum() > counted.sum():
            # In a small pool so few clusters that most of them are large enough.
            clusters = max(1, min(self.clusters, int(counted.sum()) // (3 * smallest)))
            central = _central_questions(asked, counted, clusters)
            kinds = _settle("nearest", central, merged, asked, smallest)
        labels = kinds.labels(asked)
        return labels, _described(kinds, asked, labels)


def _templates(asked: Asked, counted: NDArray[np.bool_], answer_words: set[str], smallest: int) -> list[str]:
    """The templates of at least `smallest` rows, after rarer ones have lost their rarest words."""
    sizes = np.bincount(asked.question[counted], minlength=len(asked.texts)).tolist()
    rows: Counter[str] = Counter()  # with each word
    by_length = [Counter[tuple[str, ...]]() for _ in range(MOST_WORDS + 1)]
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


def _central_questions(asked: Asked, counted: NDArray[np.bool_], clusters: int) -> dict[str, tuple[str, ...]]:
    """The most central question of each cluster, and central ones as they are written."""
    question = np.sort(asked.question[counted])  # every k-th row, so that frequent questions weigh more
    sample = question[:: max(1, len(question) // (_ROWS_PER_CLUSTER * clusters))]
    distinct, inverse = np.unique(sample, return_inverse=True)
    vectors = question_vectorizer(max_features=_TERMS).fit_transform([asked.texts[i] for i in distinct])
    units = unit_rows(vectors.toarray().astype(np.float32))
    labels, centroids = kmeans(units[inverse], clusters, np.random.default_rng(0))
    label = np.empty(len(distinct), dtype=np.int64)
    label[inverse] = labels
    cosines = np.einsum("nd,nd->n", units, centroids[label])
    cosines = cosines.round(4)  # so that rounding errors decide nothing
    central = {}
    for cluster in range(len(centroids)):
        (members,) = np.nonzero(label == cluster)
        if len(members):
            first = distinct[members[np.argsort(-cosines[members], kind="stable")[:_EXAMPLES]]]
            central[asked.texts[first[0]]] = _written(asked, first)
    return central


def _settle(
    form: str, questions: Mapping[str, tuple[str, ...]], merged: bool, asked: Asked, smallest: int
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
        labels = settled.labels(asked)
        sizes = np.bincount(labels[labels >= 0], minlength=len(kinds) + 1).tolist()
        kinds = [
            replace(kind, rows=size) for kind, size in zip(kinds, sizes, strict=False) if size >= smallest
        ]
        if len(kinds) == len(settled.kinds) - 1:
            kinds.sort(key=lambda kind: (-kind.rows, kind.name))
            return Kinds(form=form, kinds=(*kinds, Kind(question=OTHERS, rows=sizes[-1])))


def _described(kinds: Kinds, asked: Asked, labels: NDArray[np.int64]) -> Kinds:
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


def _written(asked: Asked, questions: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(asked.written[question][:_EXAMPLE_CHARACTERS] for question in questions)
