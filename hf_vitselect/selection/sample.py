"""The scored rows of a pool as a sample of its rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.errors import UsageError
from hf_vitselect.selection.groups import Groups, or_one_kind


@dataclass(frozen=True, eq=False)
class Sample:
    """The m scored rows of a pool, and the rows that they stand for.

    Attributes:
        weights: float64 `[m]`, the rows of the pool that each row stands for, 1 or more.
        copies: float64 `[m]`, the rows of its kind that were not scored because they repeat each row.
    """

    weights: NDArray[np.float64]
    copies: NDArray[np.float64]

    @classmethod
    def whole(cls, rows: int) -> "Sample":
        """Take a pool of which all rows were scored."""
        return cls(np.ones(rows), np.zeros(rows))

    @classmethod
    def drawn(
        cls,
        groups: Groups | None,
        scored: NDArray[np.int64],
        unscored: NDArray[np.int64],
        repeats: NDArray[np.int64],
        keys: NDArray[np.uint64],
    ) -> "Sample":
        """Take rows that were drawn kind by kind; each stands for as many rows of its kind as the others.

        Args:
            groups: The kinds of all n rows of the pool; one kind if None.
            scored: int64 `[m]`, rows with a score.
            unscored: int64, rows that could have been drawn, and were not; none that repeats another one.
            repeats: int64 `[n]`, the row that each row repeats if it was not scored for that reason, or -1.
            keys: uint64 `[n]`, the order of the draw.

        Raises:
            UsageError: If a kind's scored rows are not those of its lowest keys.
        """
        kinds = or_one_kind(groups, len(keys))
        labels, names = kinds.labels, kinds.names
        last = np.zeros(len(names), dtype=np.uint64)
        np.maximum.at(last, labels[scored], keys[scored])
        there, missing = (np.bincount(labels[rows], minlength=len(names)) for rows in (scored, unscored))
        drawn_before = (keys[unscored] < last[labels[unscored]]) | (there[labels[unscored]] == 0)
        if drawn_before.any():
            name = names[labels[unscored[drawn_before.argmax()]]]
            raise UsageError(
                "expected scores of all rows, or of the first ones drawn of each kind, got others of "
                f"{name!r}; this pool was scored for another method or seed: call score_candidates for this "
                "one, or score"
            )
        weights = (1 + missing / np.maximum(there, 1))[labels[scored]]
        return cls(weights, count_copies(repeats, groups)[scored])


def count_copies(repeats: NDArray[np.int64], groups: Groups | None) -> NDArray[np.float64]:
    """Count the rows of the same kind that repeat each row, float64 `[n]`.

    Args:
        repeats: int64 `[n]`, the row that each row repeats, or -1.
        groups: The kinds of the n rows; one kind if None.
    """
    labels = or_one_kind(groups, len(repeats)).labels
    alike = (repeats >= 0) & (labels[repeats] == labels)
    return np.bincount(repeats[alike], minlength=len(repeats)).astype(np.float64)
