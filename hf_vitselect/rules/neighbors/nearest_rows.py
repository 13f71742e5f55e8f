"""The nearest other rows of each row, exactly."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.neighbors.remaining import CHUNK_VALUES, cosines_with, row_norms


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
    # Between these norms products in float32 neither overflow nor lose what is small.
    moderate = bool(((norms > 2.0**-30) & (norms < 2.0**30) | np.isinf(norms)).all())
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
                if moderate:
                    others = _nearest_in_float32(features, norms, row, others, neighbors)
                exact = cosines_with(features, norms, row, others)
                order = np.lexsort((others, -exact))[:neighbors]
                near[row], cosines[row] = others[order], exact[order]
        queries = np.array(unsure, dtype=np.int64)
    return near, cosines


def _nearest_in_float32(
    features: NDArray[np.float32],
    norms: NDArray[np.float64],
    row: int,
    others: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    """Those of `others`, int64 `[m]`, that can be among the `count` nearest: all if `count` is m or more.

    Products in bfloat16 leave several times `count` candidates, and an exact cosine costs several times one
    in float32. With u = 2**-24, a dot product of d terms in float32 errs by at most g(d) = d u / (1 - d u)
    times both norms, whatever the order of its sum, and a rounded cosine by u more.
    """
    if len(others) <= count:
        return others
    query = features[row]
    chunks = blocks(len(others), max(1, CHUNK_VALUES // len(query)))
    dots = np.concatenate([features[others[chunk]] @ query for chunk in chunks])
    cosines = dots / (norms[others] * norms[row])
    terms = (len(query) + 2) * 2.0**-24  # g(d + 2) covers both, and the division
    cut = np.partition(cosines, -count)[-count] - 2 * terms / (1 - terms)
    kept: NDArray[np.int64] = others[cosines >= cut]
    return kept
