"""Cells of rows: one kind and one first answer, so that what happens inside each leaves the answers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Rows
from hf_vitselect.rules.clusters import integer_labels

Bounds = Sequence[Sequence[Any]]
"""Kind, answer (None: rare ones) and number (None: without) of each cell, as plain JSON."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of n rows.

    Attributes:
        labels: int64 `[n]`, each row's cell, from 0.
        names: Each cell's kind and answer; the answer is None for the rows of a kind whose answers are too
            rare for a cell of their own.
        kinds: int64, each cell's kind.
    """

    labels: NDArray[np.int64]
    names: Sequence[tuple[str, str | None]]
    kinds: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows, smallest: int = 1) -> "Cells":
        """Divide rows into cells; answers of fewer than `smallest` rows of a kind share one cell."""
        answers = integer_labels(rows.answers)
        texts = [*dict.fromkeys(rows.answers.tolist()), None]
        width = len(texts)
        _, cell, sizes = np.unique(rows.kinds * width + answers, return_inverse=True, return_counts=True)
        answers = np.where(sizes[cell] < smallest, width - 1, answers)
        cells, labels = np.unique(rows.kinds * width + answers, return_inverse=True)
        kinds = cells // width
        names = [
            (rows.kind_names[kind], texts[cell % width]) for kind, cell in zip(kinds, cells, strict=True)
        ]
        return cls(labels, names, kinds)

    def __len__(self) -> int:
        return len(self.names)

    def count(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the rows of each cell among some, bool `[n]`."""
        return np.bincount(self.labels[rows], minlength=len(self))

    def bounds(self, numbers: NDArray[np.float64]) -> list[list[Any]]:
        """Each cell's number by its name, sorted; None in place of NaN."""
        named = zip(self.names, numbers.tolist(), strict=True)
        bounds = [[kind, answer, None if number != number else number] for (kind, answer), number in named]
        return sorted(bounds, key=lambda bound: (bound[0], bound[1] is None, bound[1] or ""))


def bounds_of_rows(rows: Rows, bounds: Bounds, otherwise: float) -> NDArray[np.float64]:
    """Look up each row's bound, float64 `[n]`: its answer's, or that of its kind's rare answers.

    Args:
        rows: Any rows.
        bounds: As `Cells.bounds` returns them.
        otherwise: The bound of rows without one, and in place of None.
    """
    numbers = {(kind, answer): otherwise if number is None else number for kind, answer, number in bounds}
    cells = Cells.of(rows)
    of_cell = [numbers.get(name, numbers.get((name[0], None), otherwise)) for name in cells.names]
    return np.array(of_cell, dtype=np.float64)[cells.labels]
