"""The nearest other rows of each row, exactly."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.neighbors.remaining import cosines_with, row_norms


def nearest_rows(
    features: NDArray[np.float32], neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the k nearest other rows of each row, exactly, by the cosines of `RemainingNeighbors`.

    Args:
        features: float32 `[n, d]`, finite.
        neighbors: k, 0 to n - 1.

    Returns:
        Rows, int64 `[n, k]`, nearest first, then lowest row, and their cosines, float32 `[n, k]`.
    """
    from hf_vitselect.rules.neighbors.products import Products

    rows, norms = len(features), row_norms(features)
    near = np.empty((rows, neighbors), dtype=np.int64)
    cosines = np.empty((rows, neighbors), dtype=np.float32)
    products = Products(features, norms)
    queries = np.arange(rows if neighbors else 0)
    for width in products.widths(neighbors):
        unsure: list[int] = []
        for start in range(0, len(queries), products.block_rows):
            block = queries[start : start + products.block_rows]
            candidates, values = products.highest(block, width)
            # A product below that of the k-th other by more than 2 * error means a lower cosine.
            cuts = values[:, min(neighbors, width - 1)] - 2 * products.error
            counts = np.count_nonzero(values >= cuts[:, None], axis=1)
            for row, others, count in zip(block.tolist(), candidates, counts.tolist(), strict=True):
                if count == width < rows:
                    unsure.append(row)
                    continue
                others = others[:count][others[:count] != row]
                exact = cosines_with(features, norms, row, others)
                order = np.lexsort((others, -exact))[:neighbors]
                near[row], cosines[row] = others[order], exact[order]
        queries = np.array(unsure, dtype=np.int64)
    return near, cosines
