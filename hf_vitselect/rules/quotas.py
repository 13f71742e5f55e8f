"""Quotas of a budget for groups of rows, and the rows that fill them."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Pool


def group_quotas(
    labels: NDArray[np.int64], weights: NDArray[np.float64], pool: Pool, budget: int
) -> NDArray[np.int64]:
    """Divide `budget` picks among groups; `pool.picked` counts in its groups, and in the quotas returned.

    `labels` is each row's group, int64 `[n]`; for `weights` and the quotas see `quotas`.
    """
    sizes, earlier = (np.bincount(some, minlength=len(weights)) for some in (labels, labels[pool.picked]))
    return quotas(sizes, weights, len(pool.picked) + budget, earlier)


def quotas(
    sizes: NDArray[np.int64],
    weights: NDArray[np.float64],
    budget: int,
    minimums: NDArray[np.int64] | int = 0,
) -> NDArray[np.int64]:
    """Divide a budget among groups in proportion to their weights, within the bounds of each group.

    Args:
        sizes: int64 `[groups]`, rows of each group, 0 or more.
        weights: float64 `[groups]`, above 0 for groups with rows.
        budget: From the sum of `minimums` to the sum of `sizes`.
        minimums: int64 `[groups]`, rows of each group that are already in the subset.

    Returns:
        int64 `[groups]` with the sum `budget`: largest remainder, ties to the first group.
    """
    result = np.zeros(len(sizes), dtype=np.int64)
    filled = sizes > 0
    most, weight = sizes[filled], weights[filled]
    least = np.broadcast_to(minimums, sizes.shape)[filled]
    # Water filling. At a level, each group gets level * weight rows, clipped to its bounds, so the total
    # rises with the level. It is linear between the levels at which a group meets a bound: find the two such
    # levels around the budget, and solve for the groups that are free between them.
    levels = np.unique(np.concatenate([[0.0], least / weight, most / weight]))
    upper = max(1, bisect_left(levels, budget, key=lambda level: np.clip(level * weight, least, most).sum()))
    upper = min(upper, len(levels) - 1)
    exact = np.where(least / weight >= levels[upper], least, most).astype(np.float64)
    free = (least / weight < levels[upper]) & (most / weight > levels[upper - 1])
    exact[free] = (budget - exact[~free].sum()) * weight[free] / weight[free].sum()
    whole = np.floor(exact).astype(np.int64)
    # Bounds are whole numbers, so only free groups have remainders and can take one more row.
    remainders = np.where(free, exact - whole, -1.0)
    whole[np.argsort(-remainders, kind="stable")[: budget - int(whole.sum())]] += 1
    result[filled] = whole
    return result


def take_in_turn(
    labels: NDArray[np.int64],
    quotas: NDArray[np.int64],
    priority: NDArray[np.float64] | NDArray[np.int64],
    ties: NDArray[np.float64],
    picked: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Take the first rows of each group, from all groups in turn, in step with their quotas.

    Args:
        labels: int64 `[n]`, each row's group.
        quotas: int64 `[groups]`, rows to take from each group, including those of `picked`.
        priority: `[n]`, the order inside a group: lowest value first, then lowest row.
        ties: float64 `[n]`, the order of rows that are due at the same time, lowest first.
        picked: Rows that are already taken, int64 `[m]`.

    Returns:
        The newly taken rows, int64.
    """
    rows = np.arange(len(labels))
    earlier = np.isin(rows, picked)
    order = np.lexsort((rows, priority, ~earlier, labels))
    sizes = np.bincount(labels, minlength=len(quotas))
    rank = np.empty(len(rows), dtype=np.int64)  # of a row in its group
    rank[order] = rows - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = np.flatnonzero((rank < quotas[labels]) & ~earlier)
    # The r-th of a group's q rows is due at (r + 1/2) / q of the way, so any prefix has all groups in
    # proportion.
    due = (rank[taken] + 0.5) / quotas[labels[taken]]
    return taken[np.lexsort((taken, ties[taken], due))]
