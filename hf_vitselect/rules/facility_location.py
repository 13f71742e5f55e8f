"""Rows that stand for as many others as possible."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm.auto import tqdm

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.neighbors.nearest_rows import nearest_rows


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Rule):
    """Facility location on a graph of nearest neighbours, greedily (Nemhauser et al. 1978; apricot,
    arXiv 1906.03543).

    The value of a subset S is the sum over all rows i of the highest cosine of i to a row of S, where only i
    itself and its `neighbors` nearest rows count, and cosines below 0 count as 0. Picks maximise its
    growth, lazily: a row's growth can only fall, so most rows need not be looked at again. The graph stands
    in for all n x n cosines; the greedy picks on it are exact, ties to the lowest row.

    Gains are the growths, so they fall.

    Attributes:
        neighbors: Edges of a row in the graph.

    Raises:
        ValueError: If there are fewer than one.

    Example:
        >>> features = np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1]], dtype=np.float32)
        >>> FacilityLocation(neighbors=3)(None, features, 2, np.random.default_rng(0), {})[0].tolist()
        [0, 3]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = True

    neighbors: int = 64

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise ValueError(f"neighbors: expected 1 or more, got {self.neighbors!r}")

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows that stand for the others. See `Rule.__call__`."""
        features = required(features, "features", self)
        rows = len(features)
        near, cosines = nearest_rows(features, min(self.neighbors, rows - 1))
        edges = np.arange(rows).repeat(near.shape[1])
        graph = csr_array(
            (np.maximum(cosines, 0).astype(np.float64).ravel(), (near.ravel(), edges)), (rows, rows)
        )
        # Row j of the graph: whom j would stand for, and how well. Every row stands for itself.
        graph.setdiag((np.abs(features).max(axis=1) > 0).astype(np.float64))
        graph = graph.tocsr()
        graph.sort_indices()
        best = np.zeros(rows)

        def growth(row: int) -> float:
            span = slice(graph.indptr[row], graph.indptr[row + 1])
            return float(np.maximum(graph.data[span] - best[graph.indices[span]], 0).sum())

        def stand(row: int) -> None:
            span = slice(graph.indptr[row], graph.indptr[row + 1])
            best[graph.indices[span]] = np.maximum(best[graph.indices[span]], graph.data[span])

        for row in picked.tolist():
            stand(row)
        queue = [(-growth(row), row) for row in np.setdiff1d(np.arange(rows), picked).tolist()]
        heapq.heapify(queue)
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in tqdm(range(budget), desc="FacilityLocation", unit="pick", leave=False):
            while (now := (-growth(queue[0][1]), queue[0][1])) != queue[0]:
                heapq.heapreplace(queue, now)
            heapq.heappop(queue)
            picks[turn], gains[turn] = now[1], -now[0]
            stand(now[1])
        return picks, gains
