"""Groups of rows: k-means clusters of their features, or equal values of a column."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Float = TypeVar("Float", np.float32, np.float64)


def unit_rows(features: NDArray[Float]) -> NDArray[Float]:
    """Scale rows, float32 or float64 `[n, d]`, to length 1, as a copy in C order; zero rows stay zero."""
    units = np.array(features, order="C")
    lengths = np.sqrt(np.einsum("nd,nd->n", units, units, dtype=np.float64))
    units /= np.where(lengths > 0, lengths, 1.0).astype(units.dtype)[:, None]
    return units


def kmeans(
    units: NDArray[np.float32], clusters: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Cluster rows by spherical k-means (faiss, 20 iterations).

    Args:
        units: float32 `[n, d]`, unit rows.
        clusters: Number of clusters, 1 or more; at most n are made.
        rng: Chooses the first centroids.

    Returns:
        Each row's cluster, int64 `[n]`, and the unit centroids, float32 `[clusters, d]`.
    """
    import faiss

    with threadpool_limits(1):  # with several threads, sums and so clusters can differ between runs
        model = faiss.Kmeans(
            units.shape[1],
            min(clusters, len(units)),
            niter=20,
            seed=int(rng.integers(2**31)),
            spherical=True,
            min_points_per_centroid=1,
        )
        model.train(units)
        _, labels = model.index.search(units, 1)
    centroids: NDArray[np.float32] = model.centroids  # type: ignore[assignment]
    return labels[:, 0].astype(np.int64), centroids


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
