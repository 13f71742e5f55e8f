"""Which rows of a pool can be picked, and what a rule reads of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import keep_rows, read_features, read_scores, read_statuses, refuse_missing
from hf_vitselect.rules.base import Rule


@dataclass(frozen=True)
class Candidates:
    """The rows of a pool as a rule sees them.

    Attributes:
        scores: float64 of shape (rows,); zeros where there is no such column.
        features: float32 of shape (rows, dimensions), or None.
        statuses: Of shape (rows,), `ok` if a row can be picked, else the reason.
    """

    scores: NDArray[np.float64]
    features: NDArray[np.float32] | None
    statuses: NDArray[np.object_]

    @classmethod
    def read(cls, table: Dataset, by: str | None, over: str | None) -> "Candidates":
        """Reads a pool, or `Selection.scores`.

        Args:
            table: The rows.
            by: The score column; ignored if it is missing.
            over: The feature column. If it is missing its status column counts, if there is one.
        """
        scores, features, statuses = np.zeros(len(table)), None, np.full(len(table), "ok", dtype=object)
        if by in table.column_names:
            scores, statuses = read_scores(table, str(by))
        others = None
        if over in table.column_names:
            features, others = read_features(table, str(over))
        elif over is not None:
            others = read_statuses(table, over)
        if others is not None:
            statuses = np.where(statuses == "ok", others, statuses)
        return cls(scores, features, statuses)

    @property
    def usable(self) -> NDArray[np.int64]:
        """The rows that can be picked, int64, in their order."""
        return np.flatnonzero(self.statuses == "ok")

    def take(self, rows: NDArray[np.int64]) -> "Candidates":
        """The same of some rows, int64, distinct and rising; large features stay on disk."""
        features = None if self.features is None else keep_rows(self.features, rows)
        return Candidates(self.scores[rows], features, self.statuses[rows])

    def without(self, rows: NDArray[np.int64]) -> "Candidates":
        """The same with these rows `excluded`."""
        statuses = self.statuses.copy()
        statuses[rows[statuses[rows] == "ok"]] = "excluded"
        return replace(self, statuses=statuses)


def count_statuses(statuses: NDArray[np.object_]) -> dict[str, int]:
    """Counts rows by status, in alphabetical order."""
    return dict(sorted(Counter(statuses).items()))


def refuse_missing_columns(
    columns: Sequence[str], rule: Rule, score_column: str, feature_column: str
) -> None:
    """Refuses a pool without the columns that a rule uses.

    Raises:
        ColumnError: Naming the first one, and the nearest that are there.
        TypeError: If the rule is not one.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"expected a rule such as NeighborPenalty(), got {rule!r}; see hf_vitselect.rules")
    used = [score_column] * rule.uses_scores + [feature_column] * rule.uses_features
    refuse_missing(used, columns, "expected a column", "score the pool first")
    refuse_missing(rule.uses_columns, columns, f"{type(rule).__name__} uses the column")
