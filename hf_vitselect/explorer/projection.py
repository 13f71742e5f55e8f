"""A map of embeddings: two coordinates for each row, and its nearest rows."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Projection = Literal["umap", "pca"]
NEIGHBORS = 10


def project(features: NDArray[np.float32], projection: Projection, seed: int = 0) -> NDArray[np.float32]:
    """Lay out embeddings in the plane; the same seed gives the same map.

    Args:
        features: Shape (rows, dimensions).
        projection: `umap` keeps neighbors together by cosine; `pca` is linear and fast.
        seed: Of the layout.

    Returns:
        Coordinates of shape (rows, 2).
    """
    rows = len(features)
    if projection == "pca" or rows < 2 * NEIGHBORS:  # UMAP's spectral start needs more rows
        from sklearn.decomposition import PCA

        size = min(2, *features.shape)
        flat = PCA(size, random_state=seed).fit_transform(features)
        return np.pad(flat, ((0, 0), (0, 2 - size))).astype(np.float32)
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of isolated rows, about which a user can do nothing
        fitted = UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(features)
    return np.asarray(fitted, dtype=np.float32)


def neighbors(features: NDArray[np.float32]) -> list[dict[str, list[float]]]:
    """The nearest rows of each row by cosine distance, the nearest first, without the row itself."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBORS, len(features) - 1)
    if count < 1:
        return [{"ids": [], "distances": []} for _ in features]
    distances, ids = NearestNeighbors(n_neighbors=count, metric="cosine").fit(features).kneighbors()
    return [
        {"ids": near.tolist(), "distances": far.tolist()} for near, far in zip(ids, distances, strict=True)
    ]
