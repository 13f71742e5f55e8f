"""Groups of rows: k-means clusters of their features, or equal values of a column."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.faiss_build import count_gpus, load_faiss
from hf_vitselect.rules.quotas import quotas

Float = TypeVar("Float", np.float32, np.float64)
_MOST_AT_ONCE = 64  # clusters
_MOST_IN_MEMORY = 2**15  # rows


def unit_rows(features: NDArray[Float]) -> NDArray[Float]:
    """Scale rows, float32 or float64 `[n, d]`, to length 1, as a copy in C order; zero rows stay zero."""
    units = np.array(features, order="C")
    lengths = np.sqrt(np.einsum("nd,nd->n", units, units, dtype=np.float64))
    units /= np.where(lengths > 0, lengths, 1.0).astype(units.dtype)[:, None]
    return units


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Unit rows of features that may be memory-mapped, scaled when they are read.

    Attributes:
        features: float32 `[n, d]`.
    """

    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return unit_rows(self.features[rows])


def kmeans(
    units: UnitRows | NDArray[np.float32], clusters: int, rng: np.random.Generator, *, gpu: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Cluster rows by spherical k-means (faiss, 20 iterations).

    More than 64 clusters are found in two steps, so that time grows with n * sqrt(clusters): about
    sqrt(clusters) groups of rows, then clusters inside each group, in proportion to its rows.

    Args:
        units: float32 `[n, d]`, unit rows.
        clusters: Number of clusters, 1 or more; at most n are made.
        rng: Chooses the first centroids.
        gpu: Whether to use the GPU if faiss sees one. Clusters then depend on the machine.

    Returns:
        Each row's cluster, int64 `[n]`, and the unit centroids, float32 `[clusters, d]`.
    """
    clusters, gpus = min(clusters, len(units)), count_gpus() if gpu else 0
    if clusters <= _MOST_AT_ONCE:
        return _kmeans(units, clusters, rng, gpus)
    groups = rows_by_label(_kmeans(units, math.isqrt(clusters), rng, gpus)[0])
    sizes = np.array([len(rows) for rows in groups])
    counts = quotas(sizes, np.maximum(sizes, 1).astype(np.float64), clusters, np.minimum(sizes, 1))
    labels = np.empty(len(units), dtype=np.int64)
    centroids: list[NDArray[np.float32]] = []
    first = 0
    for rows, count in zip(groups, counts.tolist(), strict=True):
        if count:
            inside, centers = _kmeans(units[rows], count, rng, gpus)
            labels[rows] = first + inside
            centroids.append(centers)
            first += count
    return labels, np.concatenate(centroids)


def _kmeans(
    units: UnitRows | NDArray[np.float32], clusters: int, rng: np.random.Generator, gpus: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All clusters at once; faiss trains on 256 rows a cluster at most."""
    faiss = load_faiss()
    labels = np.empty(len(units), dtype=np.int64)
    with threadpool_limits(1):  # with several threads, sums and so clusters can differ between runs
        few = units[:] if len(units) <= _MOST_IN_MEMORY else units[_sample(len(units), rng)]
        model = faiss.Kmeans(
            few.shape[1],
            clusters,
            niter=20,
            seed=int(rng.integers(2**31)),
            spherical=True,
            min_points_per_centroid=1,
            gpu=gpus,
        )
        model.train(few)
        for block in blocks(len(units), _MOST_IN_MEMORY):
            labels[block] = model.index.search(units[block], 1)[1][:, 0]
    centroids: NDArray[np.float32] = model.centroids
    return labels, centroids


def _sample(rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.choice(rows, _MOST_IN_MEMORY, replace=False))


def rows_by_label(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each label from 0 to the highest, int64, ascending; a label may have none."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    return np.split(order, ends[:-1])


def integer_labels(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Number the distinct values from 0 by first appearance, int64 `[n]`; NaN and null are one value."""
    numbers: dict[object, int] = {}
    values_or_none = (None if value != value else value for value in values.tolist())
    return np.array([numbers.setdefault(value, len(numbers)) for value in values_or_none], dtype=np.int64)
