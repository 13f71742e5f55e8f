"""Each row's nearest other rows, exactly."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.neighbors.products import Products
from hf_vitselect.rules.neighbors.remaining import cosines_with, row_norms


def nearest_rows(
    features: NDArray[np.float32], neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest other rows of every row, by the cosines of `RemainingNeighbors`, exactly.

    Args:
        features: float32 `[n, d]`, finite.
        neighbors: k, 0 to n - 1.

    Returns:
        Rows, int64 `[n, k]`, nearest first, then lowest row, and their cosines, float32 `[n, k]`.
    """
    rows, norms = len(features), row_norms(features)
    near = np.empty((rows, neighbors), dtype=np.int64)
    cosines = np.empty((rows, neighbors), dtype=np.float32)
    products = Products(features, norms)
    asked = np.arange(rows if neighbors else 0)
    for width in products.widths(neighbors):
        unsure: list[int] = []
        for start in range(0, len(asked), products.block_rows):
            block = asked[start : start + products.block_rows]
            found, values = products.highest(block, width)
            for row, candidates, last in zip(block.tolist(), found, values[:, -1], strict=True):
                others = candidates[candidates != row]
                close = cosines_with(features, norms, row, others)
                order = np.lexsort((others, -close))[:neighbors]
                near[row], cosines[row] = others[order], close[order]
                if width < rows and close[order[-1]] <= last + products.error:
                    unsure.append(row)
        asked = np.array(unsure, dtype=np.int64)
    return near, cosines
