"""The rows of a pool that can be picked, and what a rule reads of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import keep_rows, read_features, read_scores, read_statuses, refuse_missing
from hf_vitselect.errors import UNTRIED
from hf_vitselect.selection.method import Method


@dataclass(frozen=True)
class Candidates:
    """The rows of a pool as a rule sees them.

    Attributes:
        scores: float64 of shape (rows,); zeros without a score column.
        features: float32 of shape (rows, dimensions), or None.
        statuses: Texts of shape (rows,), `ok` if a row can be picked.
    """

    scores: NDArray[np.float64]
    features: NDArray[np.float32] | None
    statuses: NDArray[np.object_]

    @classmethod
    def read(cls, table: Dataset, by: str | None, over: str | None) -> "Candidates":
        """Read a pool or `Selection.scores`.

        A missing score column is ignored; of a missing feature column only the status column is read.
        """
        scores, features, statuses = np.zeros(len(table)), None, np.full(len(table), "ok", dtype=object)
        others = None
        if by in table.column_names:
            scores, statuses = read_scores(table, str(by))
        if over in table.column_names:
            features, others = read_features(table, str(over))
        elif over is not None:
            others = read_statuses(table, over)
        if others is not None:
            statuses = np.where(statuses == "ok", others, statuses)
        return cls(scores, features, statuses)

    @property
    def usable(self) -> NDArray[np.int64]:
        """The rows that can be picked, int64, in pool order."""
        return np.flatnonzero(self.statuses == "ok")

    @property
    def untried(self) -> NDArray[np.bool_]:
        """Whether nobody has tried to score each row, bool of shape (rows,)."""
        untried: NDArray[np.bool_] = np.isin(self.statuses.astype(str), [*UNTRIED])
        return untried

    def take(self, rows: NDArray[np.int64]) -> "Candidates":
        """Keep some rows, int64, distinct and rising; large features stay on disk."""
        features = None if self.features is None else keep_rows(self.features, rows)
        return Candidates(self.scores[rows], features, self.statuses[rows])

    def with_untried(self) -> "Candidates":
        """Count the rows that nobody has tried to score among those that can be picked."""
        return replace(self, statuses=np.where(self.untried, "ok", self.statuses))

    def exclude(self, rows: NDArray[np.int64]) -> "Candidates":
        """Mark rows as `excluded` if they could be picked."""
        statuses = self.statuses.copy()
        statuses[rows[statuses[rows] == "ok"]] = "excluded"
        return replace(self, statuses=statuses)


def refuse_missing_columns(columns: Sequence[str], method: Method) -> None:
    """Refuse a pool without the columns that a method requires."""
    for name, use in method.required_columns.items():
        refuse_missing([name], columns, f"{use} the column", method.advice(name))
