"""The row farthest from all added ones, as rows are added one after another."""

import numpy as np
import torch
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import unit_rows
from hf_vitselect.rules.neighbors.products import full_precision

_CANDIDATES = 512
_BLOCK = 2048  # rows, added rows, or pairs of both at once


class FarthestRows:
    """The row of the largest weighted distance to the nearest added row.

    The distance is that of unit rows, 0 to 2; it is 2 before any row is added. Ties go to the lowest row.

    Method: a distance to the nearest added row only falls, so one that was computed before the latest rows
    were added is an upper bound. An added row is compared at once with the candidates alone, rows that were
    the farthest. Once no candidate is farther than the highest bound of the others, those of high bounds are
    compared with the rows added since, and the farthest are the new candidates. BLAS only says which pairs of
    rows can matter; their distances are summed in one order.

    Memory beyond the features is a copy of them, and the products of a block of rows.
    """

    def __init__(self, features: NDArray[np.float32], weights: NDArray[np.float64], adds: int) -> None:
        """Start without added rows.

        `features` are float32 `[n, d]`, `weights` float64 `[n]`, 0 or more. At most `adds` rows will be
        added.
        """
        rows = len(features)
        self._units = unit_rows(features)
        self._weights = weights
        self._cosines = np.full(rows, -1.0, dtype=np.float32)  # the highest known with an added row
        self._reach = 2.0 * weights  # weighted distances, or bounds of them; -1 for an added row
        self._added = np.empty(adds, dtype=np.int64)
        self._count = 0
        self._seen = np.zeros(rows, dtype=np.int64)  # the added rows that a row was compared with
        self._candidates = np.empty(0, dtype=np.int64)  # ascending
        self._their_units = self._units[:0]
        self._next = (np.inf, -1)  # the highest bound of the others, and its row
        # Sums of d products of unit rows err by at most about d * 2**-24, in BLAS and in einsum.
        self._error = 2 * (features.shape[1] + 2) * 2.0**-24

    def farthest(self) -> tuple[int, float]:
        """Find the row with the largest weighted distance, and that distance."""
        if len(self._candidates):
            row, reach = self._first_candidate()
            if (reach, -row) > (self._next[0], -self._next[1]):
                return row, reach
        self._choose_candidates()
        return self._first_candidate()

    def add(self, row: int) -> None:
        """Add a row; distances to it count from now on, and it is never the farthest again."""
        self._added[self._count] = row
        self._count += 1
        self._reach[row] = -1.0
        self._seen[self._candidates] = self._count
        # einsum sums in one order whatever the number of threads; BLAS may not.
        self._raise(self._candidates, np.einsum("nd,d->n", self._their_units, self._units[row]))

    def _first_candidate(self) -> tuple[int, float]:
        reach = self._reach[self._candidates]
        at = int(reach.argmax())
        return int(self._candidates[at]), float(reach[at])

    def _choose_candidates(self) -> None:
        """Choose the rows of the largest distances, of several the lowest rows."""
        size = 4 * _CANDIDATES
        while True:
            first, _ = self._first(size)
            self._compare(first[self._seen[first] < self._count])
            candidates, self._next = self._first(_CANDIDATES)
            if (self._seen[candidates] == self._count).all():
                break
            size *= 2
        self._candidates, self._their_units = candidates, self._units[candidates]

    def _first(self, count: int) -> tuple[NDArray[np.int64], tuple[float, int]]:
        """The rows of the highest bounds, of several the lowest rows, ascending; the next bound and row."""
        reach = self._reach
        if count >= len(reach):
            return np.arange(len(reach)), (-np.inf, len(reach))
        last = np.partition(reach, len(reach) - count)[len(reach) - count]
        above, ties = np.flatnonzero(reach > last), np.flatnonzero(reach == last)
        count -= len(above)
        rows = np.sort(np.concatenate([above, ties[:count]]))
        if len(ties) > count:
            return rows, (float(last), int(ties[count]))
        rest = np.where(reach < last, reach, -np.inf)
        return rows, (float(rest.max()), int(rest.argmax()))

    def _compare(self, rows: NDArray[np.int64]) -> None:
        """Compare rows with the added rows that they were not compared with."""
        rows = rows[np.argsort(self._seen[rows], kind="stable")]
        for block in blocks(len(rows), _BLOCK):
            some = rows[block]
            added = self._added[self._seen[some[0]] : self._count]
            for part in blocks(len(added), _BLOCK):
                self._compare_block(some, added[part])
            self._seen[some] = self._count

    def _compare_block(self, rows: NDArray[np.int64], added: NDArray[np.int64]) -> None:
        units, new, known = self._units[rows], self._units[added], self._cosines[rows]
        with full_precision("cpu"):
            products = (torch.from_numpy(units) @ torch.from_numpy(new).T).numpy()
        highest = products.max(axis=1)
        near = np.flatnonzero(highest > known - self._error)
        least = np.maximum(known, highest - self._error)[near] - self._error
        cosines, pairs = known[near], np.flatnonzero(products[near] > least[:, None])
        for part in blocks(len(pairs), _BLOCK):
            row, column = np.divmod(pairs[part], len(new))
            np.maximum.at(cosines, row, np.einsum("nd,nd->n", units[near[row]], new[column]))
        self._raise(rows[near], cosines)

    def _raise(self, rows: NDArray[np.int64], cosines: NDArray[np.float32]) -> None:
        """Raise the highest known cosines of rows, and lower their bounds."""
        self._cosines[rows] = known = np.maximum(self._cosines[rows], cosines)
        distances = np.minimum(np.sqrt(np.maximum(2 - 2 * known, 0)), 2.0).astype(np.float64)
        reach = self._reach[rows]
        self._reach[rows] = np.where(reach >= 0, distances * self._weights[rows], reach)
