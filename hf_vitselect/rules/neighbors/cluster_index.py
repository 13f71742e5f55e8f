"""The nearest other rows of each row, approximately: those in the clusters around its own."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label
from hf_vitselect.rules.neighbors.products import full_precision, native_type, top_columns

_ROWS_PER_CLUSTER = 256
_CANDIDATES = 2**14  # for each row
_RECALL_ROWS = 256
_BLOCK_ROWS = 2**14


class Nearest(NamedTuple):
    """Rows, int64 `[m]`, with their nearest other rows, int64 `[m, k]`, and products, float32 `[m, k]`."""

    rows: NDArray[np.int64]
    near: NDArray[np.int64]
    products: NDArray[np.float32]


class ClusterIndex:
    """Likely nearest rows by inverted lists (IVF).

    Rows are divided into clusters of about 256 by faiss's k-means. The rows of a cluster are compared with
    all rows of the clusters whose centroids are nearest to its own, 16,384 rows or more together. A GPU is
    used if there is one. Time grows linearly with the rows. Memory beyond `features` is the unit rows, in
    bfloat16 where that is native, else in float32.

    Attributes:
        clusters: Number of clusters.
    """

    def __init__(self, features: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Cluster features, float32 `[n, d]`, finite, maybe memory-mapped; `rng` chooses first centroids."""
        self._units = UnitRows(features)
        self._labels, self._centroids = kmeans(
            self._units, max(1, len(features) // _ROWS_PER_CLUSTER), rng, gpu=True
        )
        members = rows_by_label(self._labels)
        self.clusters = len(members)
        self._sizes = np.array([len(rows) for rows in members])
        self._first = np.append(0, np.cumsum(self._sizes))
        self._order = np.concatenate(members)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._stored = torch.empty(features.shape, dtype=native_type(self._device), device=self._device)
        for block in blocks(len(features), _BLOCK_ROWS):  # in the order of the clusters
            self._stored[block] = torch.from_numpy(self._units[self._order[block]]).to(self._device)

    def nearest(self, cluster: int, neighbors: int) -> Nearest:
        """Find the `neighbors` nearest rows of each row of a cluster, nearest first.

        Products are those of stored unit rows, in their precision; -inf marks places that no row is left for.
        """
        around = np.concatenate([np.arange(*self._first[i : i + 2]) for i in self._around(cluster)])
        queries = np.arange(*self._first[cluster : cluster + 2])
        with full_precision(self._device):
            products = self._stored[queries[0] : queries[-1] + 1] @ self._stored[self._tensor(around)].T
        products[torch.arange(len(queries)), self._tensor(np.searchsorted(around, queries))] = -torch.inf
        best = top_columns(products, neighbors)
        values, order = products.gather(1, best).sort(dim=1, descending=True)
        near = self._order[around[best.gather(1, order).cpu().numpy()]]
        return Nearest(self._order[queries], near, values.float().cpu().numpy())

    def recall(self, neighbors: int, rng: np.random.Generator) -> float:
        """Measure the share of the truly nearest rows among those found, of at most 256 random rows."""
        rows = len(self._order)
        sample = np.sort(rng.choice(rows, size=min(rows, _RECALL_ROWS), replace=False))
        exact = _nearest(self._units, sample, neighbors)
        hits = 0
        for cluster in np.unique(self._labels[sample]):
            nearest = self.nearest(cluster, neighbors)
            sampled = np.flatnonzero(np.isin(nearest.rows, sample))
            true = exact[np.searchsorted(sample, nearest.rows[sampled])]
            hits += sum(len(np.intersect1d(*pair)) for pair in zip(true, nearest.near[sampled], strict=True))
        return hits / exact.size

    def _around(self, cluster: int) -> NDArray[np.int64]:
        """The clusters nearest to one, itself included, of as many rows as candidates, ascending."""
        products = self._centroids[: self.clusters] @ self._centroids[cluster]
        products[cluster] = np.inf
        by_product = np.argsort(-products, kind="stable")
        enough = int(np.searchsorted(np.cumsum(self._sizes[by_product]), _CANDIDATES)) + 1
        return np.sort(by_product[:enough])

    def _tensor(self, array: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _nearest(units: UnitRows, sample: NDArray[np.int64], neighbors: int) -> NDArray[np.int64]:
    """The rows of highest float32 products with each row of a sample, int64 `[sample, neighbors]`."""
    queries = units[sample]
    best = np.empty((len(sample), 0), dtype=np.int64)
    values = np.empty((len(sample), 0), dtype=np.float32)
    for block in blocks(len(units), _BLOCK_ROWS):
        rows = np.arange(block.start, block.stop)
        products = queries @ units[block].T
        products[rows == sample[:, None]] = -np.inf
        values = np.concatenate([values, products], axis=1)
        best = np.concatenate([best, np.broadcast_to(rows, products.shape)], axis=1)
        highest = np.argpartition(-values, min(neighbors, values.shape[1]) - 1, axis=1)[:, :neighbors]
        values = np.take_along_axis(values, highest, axis=1)
        best = np.take_along_axis(best, highest, axis=1)
    return best
