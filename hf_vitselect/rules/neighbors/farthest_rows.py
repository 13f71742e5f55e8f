"""The row farthest from all added ones, exactly or nearly, as rows are added one after another."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label

_ONE_CLUSTER = 2**15  # rows; below, to compare all costs less than to decide which
_ROWS_PER_CLUSTER = 256
_NEAR_ROWS = 2**12  # compared with an added row at once
_FIRST_ADDED = 32  # compared with all rows at once
_MOST_CHECKED = 256  # rows together
_CHECKED_CLUSTERS = 16


class FarthestRows:
    """The row of the largest weighted distance to the nearest added row.

    The distance is that of unit rows, 0 to 2; it is 2 before any row is added. Ties go to the lowest row.

    Method: a distance to the nearest added row only falls, so one that was computed before the latest rows
    were added is an upper bound. Rows lie in clusters, and an added row is compared at once with those of the
    clusters around it, whose bounds fall most. The row with the highest bound is compared with the added rows
    that it has not seen. If its bound stands, it is the farthest; else more and more rows are checked
    together. Those products, by BLAS, only say which distances can matter; all distances that count are
    summed in one order.

    Not `exact`, bounds stand for distances: a row is compared with the first added rows and with those around
    it. No distance is underestimated.

    Memory beyond the features is a copy of them.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        weights: NDArray[np.float64],
        adds: int,
        rng: np.random.Generator,
        exact: bool = True,
    ) -> None:
        """Start without added rows.

        `features` are float32 `[n, d]`, `weights` float64 `[n]`, 0 or more. At most `adds` rows will be
        added. `rng` draws the clusters, which affect only the speed of an exact search.
        """
        self._exact = exact
        units, rows = UnitRows(features), len(features)
        clusters = max(1, rows // _ROWS_PER_CLUSTER) if rows > _ONE_CLUSTER else 1
        labels, self._centroids = (
            kmeans(units, clusters, rng) if clusters > 1 else (np.zeros(rows, np.int64), units[:1])
        )
        members = [some for some in rows_by_label(labels) if len(some)]
        self._centroids = self._centroids[np.unique(labels)]
        self._ends = np.cumsum([0, *map(len, members)])
        # From here on, rows are numbered in the order of their clusters.
        self._order = np.concatenate(members)
        self._place = np.argsort(self._order)
        self._units = np.empty(features.shape, dtype=np.float32)
        for block in blocks(rows, 4096):
            self._units[block] = units[self._order[block]]
        self._weights = weights[self._order]
        self._cosines = np.full(rows, -1.0, dtype=np.float32)  # the highest known ones with an added row
        self._reach = 2.0 * self._weights  # -1 for an added row
        self._seen = np.zeros(rows, dtype=np.int64)  # number of added rows that a row was compared with
        self._highest = np.maximum.reduceat(self._reach, self._ends[:-1])  # reach in each cluster
        self._added = np.empty((adds, features.shape[1]), dtype=np.float32)
        self._count = 0
        self._error = 2 * (features.shape[1] + 2) * 2.0**-24

    def farthest(self) -> tuple[int, float]:
        """Find the row with the largest weighted distance, and that distance."""
        size = 1
        while True:
            at = self._first_highest()
            if not self._exact or self._seen[at] == self._count:
                return int(self._order[at]), float(self._reach[at])
            self._check(at, size)
            size = min(4 * size, _MOST_CHECKED)

    def add(self, row: int) -> None:
        """Add a row; distances to it count from now on, and it is never the farthest again."""
        at = int(self._place[row])
        new = self._added[self._count] = self._units[at]
        self._reach[at] = -1.0
        if self._count < _FIRST_ADDED:
            near = np.arange(len(self._centroids))
        else:
            # Its own cluster first: its centroid need not be the nearest.
            near = np.argsort(-np.einsum("nd,d->n", self._centroids, new), kind="stable")
            own = self._cluster(at)
            near = np.append(own, near[near != own])
            sizes = np.diff(self._ends)[near]
            near = near[: int(np.searchsorted(np.cumsum(sizes), _NEAR_ROWS)) + 1]
        for cluster in near.tolist():
            rows = slice(self._ends[cluster], self._ends[cluster + 1])
            # einsum sums in one order whatever the number of threads; BLAS may not.
            self._raise(rows, np.einsum("nd,d->n", self._units[rows], new))
            self._highest[cluster] = self._reach[rows].max()
            self._seen[rows] += self._seen[rows] == self._count
        self._count += 1

    def _cluster(self, at: int) -> int:
        """The cluster of a place."""
        return int(np.searchsorted(self._ends, at, side="right")) - 1

    def _first_highest(self) -> int:
        """The place of the highest bound; of several the lowest row's."""
        tied = np.flatnonzero(self._highest == self._highest.max())
        candidates = [
            start + np.flatnonzero(self._reach[start:end] == self._highest[cluster])
            for cluster in tied.tolist()
            for start, end in [self._ends[cluster : cluster + 2]]
        ]
        among = np.concatenate(candidates)
        return int(among[self._order[among].argmin()])

    def _check(self, at: int, size: int) -> None:
        """Compare the row at a place, and others of high bounds, with the added rows they have not seen."""
        clusters = np.array([self._cluster(at)])
        rows = np.array([at])
        if size > 1:
            count = min(_CHECKED_CLUSTERS, len(self._highest))
            highest = np.argpartition(-self._highest, count - 1)[:count]
            clusters = np.union1d(clusters, highest)
            others = np.concatenate([np.arange(*self._ends[i : i + 2]) for i in clusters])
            others = others[(self._seen[others] < self._count) & (others != at)]
            rows = np.append(rows, others[np.argsort(-self._reach[others], kind="stable")[: size - 1]])
        since = int(self._seen[rows].min())
        new = self._added[since : self._count]
        products = self._units[rows] @ new.T
        which, added = np.nonzero(products > self._cosines[rows, None] - self._error)
        exact = np.einsum("nd,nd->n", self._units[rows[which]], new[added])
        cosines = self._cosines[rows]
        np.maximum.at(cosines, which, exact)
        self._raise(rows, cosines)
        self._seen[rows] = self._count
        for i in clusters.tolist():
            self._highest[i] = self._reach[self._ends[i] : self._ends[i + 1]].max()

    def _raise(self, rows: slice | NDArray[np.int64], cosines: NDArray[np.float32]) -> None:
        """Raise the highest known cosines of rows, and lower their bounds."""
        self._cosines[rows] = np.maximum(self._cosines[rows], cosines)
        distances = np.minimum(np.sqrt(np.maximum(2 - 2 * self._cosines[rows], 0)), 2.0).astype(np.float64)
        reach = self._reach[rows]
        self._reach[rows] = np.where(reach >= 0, distances * self._weights[rows], reach)
