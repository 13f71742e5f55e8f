"""The base class of all filters, and the rows they look at."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.rows import read_rows, read_texts
from hf_vitselect.data.text import cut
from hf_vitselect.errors import RowError
from hf_vitselect.rules.base import as_numbers

_LONGEST_QUOTE = 60

_UNKNOWN = RowError("bad_row", "no conversations were given")


@dataclass(frozen=True, eq=False)
class Rows:
    """The n rows of a pool that could be picked, as a filter sees them.

    Attributes:
        scores: float64 `[n]`, finite: the method's score, a loss unless the user chose another one.
        columns: The columns that the filter uses, `[n]` each; NaN or None where a row has no usable value.
        kinds: int64 `[n]`, each row's kind, from 0; all 0 unless the method has kinds.
        kind_names: The name of each kind.
        answers: Texts, `[n]`: each row's first answer, normalized; empty for a row that cannot be read.
        image_features: float32 `[n, d]`, the image half of CLIP embeddings, all zeros for a row without
            image; None if the pool has none.
        pool: The rows themselves; None if not given.
        left: bool `[n]`, whether no earlier filter has dropped the row.
        picked: int64 `[m]`, rows that are already in the subset and are never dropped.
        budget: Rows to be left at least, those of `picked` included.
        weights: float64 `[n]`, the rows of the pool that each row stands for, 1 or more: above 1 where only
            a random part of a kind was scored.
        copies: float64 `[n]`, the rows that were not scored because they repeat each row.
        no_score: The name of the method's score if the pool has no such column; `scores` is then all 0.
        unknown_features: The name of the method's features if the pool has them, but no record of what made
            them; `image_features` is then None.
    """

    scores: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]
    kinds: NDArray[np.int64]
    kind_names: Sequence[str]
    answers: NDArray[np.object_]
    image_features: NDArray[np.float32] | None
    pool: Dataset | None
    left: NDArray[np.bool_]
    picked: NDArray[np.int64]
    budget: int
    weights: NDArray[np.float64]
    copies: NDArray[np.float64]
    no_score: str | None = None
    unknown_features: str | None = None

    @classmethod
    def of(cls, scores: NDArray[np.float64], **others: Any) -> "Rows":
        """Make rows of scores alone, such as for one filter by hand; any attribute may be given by name.

        Without others, all rows are of one kind, have one unknown answer, no image features and no
        conversation that can be read, are all left, and stand for themselves; the budget is 1.
        """
        n = len(scores)
        given: dict[str, Any] = {
            "columns": {},
            "kinds": np.zeros(n, dtype=np.int64),
            "kind_names": ["all"],
            "answers": np.full(n, "", dtype=object),
            "image_features": None,
            "pool": None,
            "left": np.ones(n, dtype=np.bool_),
            "picked": np.empty(0, dtype=np.int64),
            "budget": 1,
            "weights": np.ones(n),
            "copies": np.zeros(n),
        }
        return cls(scores=scores, **given | others)

    def __len__(self) -> int:
        return len(self.scores)

    def texts(self) -> Iterator[Conversation | RowError]:
        """Read every row, in order, each image empty; the error of a row that cannot be read."""
        return repeat(_UNKNOWN, len(self)) if self.pool is None else read_texts(self.pool)

    def conversations(self, rows: NDArray[np.int64] | None = None) -> Iterator[Conversation | RowError]:
        """Read all rows, or some, int64, with their images; the error of a row that cannot be read."""
        if self.pool is None:
            return repeat(_UNKNOWN, len(self) if rows is None else len(rows))
        return read_rows(self.pool if rows is None else self.pool.select(rows))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers, float64 `[n]`; a ColumnError if it holds anything else."""
        return as_numbers(column, self.columns[column])

    @property
    def droppable(self) -> NDArray[np.bool_]:
        """Whether a filter may drop each row, bool `[n]`: it is left, and not picked."""
        droppable = self.left.copy()
        droppable[self.picked] = False
        return droppable


@dataclass(frozen=True, eq=False)
class Drops:
    """The rows that a filter drops.

    Attributes:
        rows: int64 `[k]`, distinct, the most certain first: where too few rows are left, the last ones stay.
        reasons: The reason and its evidence for each, one short line.
        repeats: int64 `[k]`, the row that each repeats, or -1.
        thresholds: What `Filter.find_more` needs to treat new rows alike, as plain JSON.
    """

    rows: NDArray[np.int64]
    reasons: Sequence[str]
    repeats: NDArray[np.int64] | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)


class NothingToGoByError(ValueError):
    """The rows hold nothing that the filter could decide by, such as constant scores; it is skipped."""


class Filter(ABC):
    """A reason to leave rows out.

    A filter is a frozen dataclass of keyword arguments; a value out of its range raises `ValueError`. Its
    fields are plain JSON values. Subclasses say what they use, and define `find`.
    """

    uses_scores: ClassVar[bool] = False
    """Whether the filter needs the method's score."""

    uses_kinds: ClassVar[bool] = False
    """Whether the filter needs kinds."""

    uses_answers: ClassVar[bool] = False
    """Whether the filter needs the rows' first answers."""

    uses_image_features: ClassVar[bool] = False
    """Whether the filter uses image features if there are any."""

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """Names of the other columns that the filter needs."""
        return ()

    @abstractmethod
    def find(self, rows: Rows) -> Drops:
        """Find the rows to drop among those left and not picked.

        Raises:
            NothingToGoByError: If the rows hold nothing to decide by.
        """

    def find_more(self, rows: Rows, thresholds: Mapping[str, Any]) -> Drops:
        """Find the rows to drop among new ones, by the thresholds of an earlier `find`."""
        return self.find(rows)

    def unsure_kinds(self, rows: Rows) -> NDArray[np.int64]:
        """Return the kinds, int64, that scores of more of their rows might drop or spare."""
        return np.empty(0, dtype=np.int64)

    def describe(self, thresholds: Mapping[str, Any]) -> str:
        """Describe the thresholds of an earlier `find` in one line, for a card; empty without any.

        Cards show it whole, so texts of rows are cut, see `quoted`.
        """
        return ""


def quoted(text: str) -> str:
    """A text of rows in quotes, cut at 60 characters."""
    return repr(cut(text, _LONGEST_QUOTE))
