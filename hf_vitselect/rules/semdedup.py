"""Rows without a near duplicate in their cluster (SemDeDup, arXiv 2303.09540)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label


@dataclass(frozen=True, kw_only=True)
class SemDeDup(Rule):
    """The least redundant rows, by semantic deduplication (SemDeDup, arXiv 2303.09540, algorithm 1).

    Rows are clustered by k-means, and the rows of a cluster are ordered. The paper removes a row if its
    cosine to an earlier row of its cluster exceeds `1 - epsilon`. Here the highest such cosine is the row's
    redundancy, and the least redundant rows are picked: what remains under the epsilon that leaves `budget`
    rows. Gains are `1 - redundancy`, 0 to 2, rounded to float32; 2 for the first row of a cluster.

    Args:
        rows_per_cluster: Average rows of a cluster, 1 or more.
        keep: Which of several near duplicates to keep: the one `"far"` from the centroid (the paper's
            choice) or `"near"` it.

    Examples:
        >>> features = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> rows, gains = SemDeDup()(None, features, 2, np.random.default_rng(0), {})
        >>> sorted(rows.tolist())
        [0, 2]
    """

    uses_features = True
    uses_faiss = True

    rows_per_cluster: int = 500
    keep: Literal["far", "near"] = "far"

    def __post_init__(self) -> None:
        if self.rows_per_cluster < 1:
            raise ValueError(f"rows_per_cluster: expected 1 or more, got {self.rows_per_cluster!r}")
        if self.keep not in ("far", "near"):
            raise ValueError(f"keep: expected 'far' or 'near', got {self.keep!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the least redundant rows."""
        units = UnitRows(pool.features)
        labels, centroids = kmeans(units, max(1, len(units) // self.rows_per_cluster), rng, gpu=True)
        earlier = np.isin(np.arange(len(pool)), pool.picked)
        redundancy = np.empty(len(pool), dtype=np.float32)
        with threadpool_limits(1):  # with several threads sums could differ
            for rows in rows_by_label(labels):
                members = units[rows]
                cosines = np.einsum("nd,nd->n", members, centroids[labels[rows]])
                from_centroid = cosines if self.keep == "far" else -cosines
                order = np.lexsort((rows, from_centroid, ~earlier[rows]))
                redundancy[rows[order]] = _highest_cosine_to_earlier(members[order])
        picks = pool.unpicked(np.argsort(redundancy, kind="stable"))[:budget]
        return picks, 1 - redundancy[picks].astype(np.float64)


def _highest_cosine_to_earlier(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """Highest product of each row with an earlier one, -1 for the first row; in blocks, so never n x n."""
    highest = np.full(len(units), -1.0, dtype=np.float32)
    for block in blocks(len(units), 1024):
        cosines = units[block] @ units[: block.stop].T
        earlier = np.arange(block.stop) < np.arange(block.start, block.stop)[:, None]
        highest[block] = cosines.max(axis=1, where=earlier, initial=-1.0)
    return highest
