"""Rows that represent as many others as possible (facility location, arXiv 1906.03543)."""

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Features, Picks, Pool, Rule, Scores
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.faiss_build import faiss_notes
from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows

if TYPE_CHECKING:
    from hf_vitselect.rules.neighbors.cluster_index import ClusterIndex

_MOST_EXACT = 50_000  # rows


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

    approximate: bool | None = None
    neighbors: int = 64

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise ValueError(f"neighbors: expected 1 or more, got {self.neighbors!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the rows that represent the others best."""
        rows = len(pool)
        graph = self._graph(pool.features, rng)
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

    def notes(
        self, scores: Scores | None, features: Features | None, budget: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return the recall of an approximate graph, on at most 256 random rows, and where faiss ran."""
        if features is None or not self._is_approximate(len(features)):
            return {}
        index = _cluster_index(features, rng)
        return {"recall": round(index.recall(self._edges(len(features)), rng), 4), **faiss_notes()}

    def _is_approximate(self, rows: int) -> bool:
        return rows > _MOST_EXACT if self.approximate is None else self.approximate

    def _edges(self, rows: int) -> int:
        return min(self.neighbors, rows - 1)

    def _graph(self, features: Features, rng: np.random.Generator) -> csr_array:
        """The graph: row j holds the rows that j would represent, and how well."""
        rows, edges = len(features), self._edges(len(features))
        near = np.empty((rows, 1 + edges), dtype=np.int32)
        cosines = np.empty((rows, 1 + edges), dtype=np.float32)
        near[:, 0] = np.arange(rows)  # each row represents itself
        for block in blocks(rows, 4096):
            cosines[block, 0] = (features[block] != 0).any(axis=1)
        if self._is_approximate(rows):
            index = _cluster_index(features, rng)
            for cluster in range(index.clusters):
                nearest = index.nearest(cluster, edges)
                near[nearest.rows, 1:], cosines[nearest.rows, 1:] = nearest.near, nearest.products
            del index
        else:
            near[:, 1:], cosines[:, 1:] = nearest_rows(features, edges)
        np.maximum(cosines, 0, out=cosines)
        ends = np.arange(rows + 1, dtype=np.int64 if near.size > 2**31 - 1 else np.int32) * near.shape[1]
        return csr_array((cosines.ravel(), near.ravel(), ends), (rows, rows)).T.tocsr()


def _cluster_index(features: Features, rng: np.random.Generator) -> "ClusterIndex":
    # Imported here, so that importing the rules does not load torch.
    from hf_vitselect.rules.neighbors.cluster_index import ClusterIndex

    return ClusterIndex(features, rng)
