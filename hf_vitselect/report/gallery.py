"""Rows of a pool to look at: their images, questions, answers and scores, and what became of them."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.refusals import reason_of
from hf_vitselect.data.rows import read_rows
from hf_vitselect.data.text import cut
from hf_vitselect.errors import RowError
from hf_vitselect.report.outcomes import Outcome
from hf_vitselect.report.pool_rows import kind_labels, read_positions, reason_of_row, refuse_other_length
from hf_vitselect.report.statistics import score_columns
from hf_vitselect.report.thumbnails import thumbnail
from hf_vitselect.selection.selection import Selection

_SIDE, _MOST_BYTES = 256, 16_000
_LONGEST = 1_500  # characters of a text
_KINDS, _EACH, _PICKS = 12, 6, 72  # kinds shown, of each at least, in all at most
_SAMPLED = 5_000  # picks among which rows are chosen


@dataclass(frozen=True)
class Card:
    """A row to look at.

    Attributes:
        title: Its pick, or its place in the pool.
        question: Its first question; the reason if the row cannot be read.
        answer: Its first answer.
        turns: Further questions and answers.
        images: The number of its images.
        thumbnail: The first one, as the base64 of a JPEG file.
        problem: Why there is no thumbnail of an image.
        kind: What it asks, if known.
        scores: By column, as texts.
        reason: Why it was left out, or how many of its kind were picked.
        repeats: The row that it repeats.
    """

    title: str
    question: str = ""
    answer: str = ""
    turns: int = 0
    images: int = 0
    thumbnail: str | None = None
    problem: str | None = None
    kind: str | None = None
    scores: Sequence[tuple[str, str]] = ()
    reason: str | None = None
    repeats: "Card | None" = None


@dataclass(frozen=True)
class Group:
    """Cards with a common heading."""

    name: str
    rows: int
    cards: Sequence[Card] = ()
    note: str = ""


@dataclass(frozen=True, eq=False)
class Gallery:
    """A choice of rows to look at.

    Attributes:
        selection: Any selection.
        pool: The pool it was made from; without it only picks can be read.
        most: The largest number of cards in a group.
    """

    selection: Selection
    pool: Dataset | None = None
    most: int = 24
    _place: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pool is not None:
            refuse_other_length(self.selection, self.pool)
        ids = self.selection.scores["row_id"][:]
        object.__setattr__(self, "_place", {row_id: place for place, row_id in enumerate(ids)})

    def picks(self) -> list[Group]:
        """The picks of the largest kinds; of each, rows from its first to its last pick."""
        sample = spread(np.arange(len(self.selection)), _SAMPLED)
        labels, names = kind_labels(self.selection.recipe, self.selection.dataset.select(sample))
        order = sorted(range(len(names)), key=lambda i: -int((labels == i).sum()))
        totals = {share.name: share.picked for share in self.selection.recipe.shares}
        each = min(self.most, max(_EACH, _PICKS // min(_KINDS, max(1, len(names)))))
        groups: list[Group] = []
        shown = 0
        for label in order:
            ranks = sample[labels == label]
            if not len(ranks) or shown >= _PICKS or (len(groups) >= _KINDS and shown >= self.most):
                break
            chosen = spread(ranks, each)
            cards = self._cards(self.selection.indices[chosen], [f"pick {rank + 1:,}" for rank in chosen])
            cards = [replace(card, kind=None) for card in cards]
            groups.append(Group(names[label], totals.get(names[label], len(ranks)), cards))
            shown += len(cards)
        return groups

    def others(self, ended: Iterable[Outcome]) -> list[Group]:
        """Rows of outcomes other than picks; without their pool only their number."""
        groups = []
        for outcome in ended:
            if self.pool is None:
                groups.append(Group(outcome.name, len(outcome)))
                continue
            pairs = outcome.group == "dropped" and self._repeated(outcome.rows[:1].tolist()) != [None]
            most = self.most // 2 if outcome.group != "dropped" or pairs else self.most
            rows = spread(outcome.rows, most)
            titles = [f"row {row:,}" for row in rows]
            cards = self._cards(rows, titles, outcome.name)
            groups.append(Group(outcome.name, len(outcome), self._with_repeats(rows, cards)))
        return groups

    def _with_repeats(self, rows: NDArray[np.int64], cards: Sequence[Card]) -> list[Card]:
        """Put the row that each repeats next to it."""
        repeated = self._repeated(rows.tolist())
        known = sorted({row for row in repeated if row is not None})
        others = dict(
            zip(
                known,
                self._cards(np.array(known, dtype=np.int64), [f"row {row:,}" for row in known]),
                strict=True,
            )
        )
        return [
            card if row is None else replace(card, repeats=others[row])
            for card, row in zip(cards, repeated, strict=True)
        ]

    def _repeated(self, rows: Sequence[int]) -> list[int | None]:
        """The place of the row that each repeats."""
        scores = self.selection.scores.select(rows)
        repeated = [reason_of_row(self.selection.recipe, row)[1] for row in scores]
        return [None if row_id is None else self._place.get(row_id) for row_id in repeated]

    def _cards(
        self, rows: NDArray[np.int64], titles: Sequence[str], outcome: str | None = None
    ) -> list[Card]:
        """Read rows of the pool, in this order; if None, their outcome is to be picked or not."""
        if not len(rows):
            return []
        known = self.selection.scores.select(rows)
        content = read_positions(self.selection, self.pool, rows)
        labels, names = kind_labels(self.selection.recipe, content)
        columns = [*score_columns(self.selection), *filter(None, [self.selection.length_column])]
        numbers = {name: known[name][:] for name in dict.fromkeys(columns)}
        return [
            replace(
                _read(row),
                title=titles[i],
                kind=names[labels[i]] if len(names) > 1 else None,
                scores=[
                    (name, f"{values[i]:.4g}") for name, values in numbers.items() if values[i] is not None
                ],
                reason=self._reason(known[i], outcome, names[labels[i]]),
            )
            for i, row in enumerate(read_rows(content))
        ]

    def _reason(self, scores: Mapping[str, Any], outcome: str | None, kind: str) -> str | None:
        """Say why a row has its outcome; None for a pick of a method without kinds."""
        recipe = self.selection.recipe
        if reason := reason_of_row(recipe, scores)[0]:
            return reason
        outcome = outcome or ("picked" if scores["selected"] else "not picked")
        if outcome not in ("picked", "not picked"):
            return recipe.dropped_reasons.get(outcome, outcome)
        counts = [
            f"{share.picked:,} of {share.rows:,} rows of its kind are picked"
            for share in recipe.shares
            if share.name == kind
        ]
        return ": ".join([outcome] * (outcome == "not picked") + counts) or None


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of the rows, evenly from the first to the last."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _read(row: Conversation | RowError) -> Card:
    if isinstance(row, RowError):
        return Card("", problem=_problem(row))
    questions, answers = (
        [turn.text for turn in row.turns if turn.role == role] for role in ("user", "assistant")
    )
    small, problem = None, None
    if row.images:
        try:
            small = base64.b64encode(thumbnail(row.images[0], _SIDE, _MOST_BYTES)).decode()
        except RowError as error:
            problem = _problem(error)
    return Card(
        "",
        question=_cut(next(iter(questions), "")),
        answer=_cut(next(iter(answers), "")),
        turns=max(0, len(answers) - 1),
        images=len(row.images),
        thumbnail=small,
        problem=problem,
    )


def _problem(error: RowError) -> str:
    return f"{error.status}: {reason_of(error)}"


def _cut(text: str) -> str:
    return cut(text.strip(), _LONGEST)
