"""Rows that represent as many others as possible (facility location, arXiv 1906.03543)."""

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Rule):
    """Rows that represent as many others as possible: facility location (apricot, arXiv 1906.03543).

    The greedy algorithm of Nemhauser et al. (1978) on a graph of nearest neighbors. The value of a subset S
    is `sum_i max_{j in S} max(0, cos(i, j))` over all rows i, where only i itself and its `neighbors` nearest
    rows count as j. Each pick is the row that adds most; ties go to the lowest row. The graph stands in for
    all n x n cosines, and the greedy picks on it are exact. Gains are what the picks add, so they never rise.

    Args:
        neighbors: Edges of each row in the graph, 1 or more.

    Examples:
        >>> features = np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1]], dtype=np.float32)
        >>> FacilityLocation(neighbors=3)(None, features, 2, np.random.default_rng(0), {})[0].tolist()
        [1, 3]
    """

    uses_features = True

    neighbors: int = 64

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise ValueError(f"neighbors: expected 1 or more, got {self.neighbors!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the rows that represent the others best."""
        rows = len(pool)
        near, cosines = nearest_rows(pool.features, min(self.neighbors, rows - 1))
        represented = np.arange(rows).repeat(near.shape[1])
        values = np.maximum(cosines, 0).astype(np.float64).ravel()
        # Row j of the graph holds the rows that j would represent, and how well; each row represents itself.
        graph = csr_array((values, (near.ravel(), represented)), (rows, rows))
        graph.setdiag((np.abs(pool.features).max(axis=1) > 0).astype(np.float64))
        graph = graph.tocsr()
        graph.sort_indices()
        best = np.zeros(rows)  # how well each row is represented so far

        def gain(row: int) -> float:
            span = slice(graph.indptr[row], graph.indptr[row + 1])
            return float(np.maximum(graph.data[span] - best[graph.indices[span]], 0).sum())

        def add(row: int) -> None:
            span = slice(graph.indptr[row], graph.indptr[row + 1])
            best[graph.indices[span]] = np.maximum(best[graph.indices[span]], graph.data[span])

        for row in pool.picked.tolist():
            add(row)
        queue = [(-gain(row), row) for row in np.setdiff1d(np.arange(rows), pool.picked).tolist()]
        heapq.heapify(queue)
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in progress(range(budget), title="FacilityLocation", unit="pick", leave=False):
            # Lazily: a gain can only fall, so a first row whose gain is still the same is the best one.
            while (current := (-gain(queue[0][1]), queue[0][1])) != queue[0]:
                heapq.heapreplace(queue, current)
            heapq.heappop(queue)
            picks[turn], gains[turn] = current[1], -current[0]
            add(current[1])
        return picks, gains
