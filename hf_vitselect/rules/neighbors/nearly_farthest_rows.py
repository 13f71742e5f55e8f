"""A row nearly the farthest from all added ones, as rows are added one after another."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label

_ROWS_PER_CLUSTER = 256
_NEAR_ROWS = 2**12  # compared with an added row at once
_FIRST_ADDED = 32  # compared with all rows at once


class NearlyFarthestRows:
    """A row of nearly the largest weighted distance to the nearest added row.

    As `FarthestRows`, but rows lie in clusters, and a row is compared only with the first added rows and with
    those around its cluster. No distance is underestimated.

    Memory beyond the features is a copy of them.
    """

    def __init__(
        self, features: NDArray[np.float32], weights: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        """Start without added rows.

        `features` are float32 `[n, d]`, `weights` float64 `[n]`, 0 or more. `rng` draws the clusters.
        """
        units, rows = UnitRows(features), len(features)
        labels, self._centroids = kmeans(units, max(1, rows // _ROWS_PER_CLUSTER), rng)
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
        self._highest = np.maximum.reduceat(self._reach, self._ends[:-1])  # reach in each cluster
        self._count = 0

    def farthest(self) -> tuple[int, float]:
        """Find the row with the largest weighted distance, as far as it is known, and that distance."""
        at = self._first_highest()
        return int(self._order[at]), float(self._reach[at])

    def add(self, row: int) -> None:
        """Add a row; distances to it count from now on, and it is never the farthest again."""
        at = int(self._place[row])
        new = self._units[at]
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

    def _raise(self, rows: slice, cosines: NDArray[np.float32]) -> None:
        """Raise the highest known cosines of rows, and lower their bounds."""
        self._cosines[rows] = np.maximum(self._cosines[rows], cosines)
        distances = np.minimum(np.sqrt(np.maximum(2 - 2 * self._cosines[rows], 0)), 2.0).astype(np.float64)
        reach = self._reach[rows]
        self._reach[rows] = np.where(reach >= 0, distances * self._weights[rows], reach)
