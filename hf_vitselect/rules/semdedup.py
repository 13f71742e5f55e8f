"""Rows without a near twin in their cluster (SemDeDup, arXiv 2303.09540)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required
from hf_vitselect.rules.clusters import kmeans, members, unit_rows


@dataclass(frozen=True, kw_only=True)
class SemDeDup(Rule):
    """SemDeDup (arXiv 2303.09540, algorithm 1), with the threshold that leaves the budget.

    Rows are clustered by k-means; inside a cluster they are put in an order, and a row goes if an earlier one
    has a cosine above 1 - epsilon to it. Here each row's highest cosine to an earlier row of its cluster is
    its redundancy, and the budget takes the least redundant rows: what the paper's epsilon would leave if it
    were chosen for that many.

    Gains are 1 - redundancy, 0 to 2, rounded to float32; 2 where no earlier row is in the cluster.

    Attributes:
        rows_per_cluster: Rows for each cluster, on average.
        keep: Which rows of near twins stay, `"far"` from the centroid (the paper's choice) or `"near"` to
        it.

    Raises:
        ValueError: If a parameter is none of these.

    Example:
        >>> features = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> rows, gains = SemDeDup()(None, features, 2, np.random.default_rng(0), {})
        >>> sorted(rows.tolist())
        [0, 2]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = True

    rows_per_cluster: int = 500
    keep: Literal["far", "near"] = "far"

    def __post_init__(self) -> None:
        if self.rows_per_cluster < 1:
            raise ValueError(f"rows_per_cluster: expected 1 or more, got {self.rows_per_cluster!r}")
        if self.keep not in ("far", "near"):
            raise ValueError(f"keep: expected 'far' or 'near', got {self.keep!r}")

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks the `budget` least redundant rows. See `Rule.__call__`."""
        units = unit_rows(required(features, "features", self))
        labels, centroids = kmeans(units, max(1, len(units) // self.rows_per_cluster), rng)
        typical = np.einsum("nd,nd->n", units, centroids[labels])
        kept = np.isin(np.arange(len(units)), picked)
        redundancy = np.full(len(units), -1.0, dtype=np.float32)
        with threadpool_limits(1):  # with several, sums could differ
            for rows in members(labels):
                side = typical[rows] if self.keep == "far" else -typical[rows]
                rows = rows[np.lexsort((rows, side, ~kept[rows]))]
                redundancy[rows] = _highest_cosine_to_earlier(units[rows])
        order = np.argsort(redundancy, kind="stable")
        picks = first_others(order, picked, budget)
        return picks, 1 - redundancy[picks].astype(np.float64)


def _highest_cosine_to_earlier(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each row its highest product with an earlier one, -1 for the first; by blocks, so never n x n."""
    highest = np.full(len(units), -1.0, dtype=np.float32)
    for start in range(0, len(units), 1024):
        block = units[start : start + 1024] @ units[: start + 1024].T
        earlier = np.arange(block.shape[1]) < np.arange(start, start + len(block))[:, None]
        highest[start : start + 1024] = block.max(axis=1, where=earlier, initial=-1.0)
    return highest
