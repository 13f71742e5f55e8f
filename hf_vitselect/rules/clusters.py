"""Clusters of rows by the direction of their features."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)


def unit_rows(features: NDArray[Float]) -> NDArray[Float]:
    """Rows over their lengths, float32 or float64 `[n, d]` as they come, a copy; zero rows stay zero."""
    units = np.array(features, order="C")
    lengths = np.sqrt(np.einsum("nd,nd->n", units, units, dtype=np.float64))
    units /= np.where(lengths > 0, lengths, 1.0).astype(units.dtype)[:, None]
    return units


def kmeans(
    units: NDArray[np.float32], clusters: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Spherical k-means by faiss, 20 iterations, on one thread: with several, sums and clusters could differ.

    Args:
        units: float32 `[n, d]`, unit rows.
        clusters: at most n are made.
        rng: chooses the first centroids.

    Returns:
        Each row's cluster, int64 `[n]`, and the unit centroids, float32 `[clusters, d]`.
    """
    import faiss
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        found = faiss.Kmeans(
            units.shape[1],
            min(clusters, len(units)),
            niter=20,
            seed=int(rng.integers(2**31)),
            spherical=True,
            min_points_per_centroid=1,
        )
        found.train(units)
        _, labels = found.index.search(units, 1)
    centroids: NDArray[np.float32] = found.centroids  # type: ignore[assignment]
    return labels[:, 0].astype(np.int64), centroids


def members(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of every label from 0 to the highest, int64 each, rising; empty where there are none."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    return np.split(order, ends[:-1])


def numbered(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Equal values as equal numbers from 0, by their first appearance; NaN is a value, as null is."""
    numbers: dict[object, int] = {}
    known = (None if value != value else value for value in values.tolist())
    return np.array([numbers.setdefault(value, len(numbers)) for value in known], dtype=np.int64)
