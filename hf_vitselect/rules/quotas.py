"""Quotas of a budget for groups of rows, and the rows that fill them."""

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
        int64 `[groups]` with the sum `budget`, by Sainte-Laguë's method: the pick that comes next goes to the
        group with the lowest (picks + 1/2) / weight, ties to the first group. So no quota shrinks as the
        budget grows, and smaller subsets lie inside larger ones.
    """
    minimums = np.broadcast_to(minimums, sizes.shape)
    free = sizes - minimums
    groups = np.repeat(np.arange(len(sizes)), free)
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(free) - free, free) + minimums[groups]
    first = np.argsort((rank + 0.5) / weights[groups], kind="stable")[: budget - int(minimums.sum())]
    return minimums + np.bincount(groups[first], minlength=len(sizes))


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
