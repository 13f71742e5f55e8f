"""Shares of a budget among groups of rows, and the rows that fill them."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS


def quotas(
    sizes: NDArray[np.int64],
    weights: NDArray[np.float64],
    budget: int,
    given: NDArray[np.int64] | int = 0,
) -> NDArray[np.int64]:
    """Shares a budget among groups by weight, exactly, none more than it has or less than it was given.

    Args:
        sizes: int64 `[groups]`, rows of each group, 0 or more.
        weights: float64 `[groups]`, above 0 wherever there are rows.
        budget: from the sum of `given` to the sum of the sizes.
        given: int64 `[groups]`, rows of each group that are in the subset already.

    Returns:
        int64 `[groups]`, adding up to the budget: largest remainder, ties to the first group.
    """
    share = np.zeros(len(sizes), dtype=np.int64)
    some = sizes > 0
    most, weight = sizes[some], weights[some]
    least = np.broadcast_to(given, sizes.shape)[some]
    # A level gives each group so many rows for its weight, within its bounds; between two levels at which a
    # bound is met, the same groups are free.
    levels = np.unique(np.concatenate([[0.0], least / weight, most / weight]))
    upper = max(1, bisect_left(levels, budget, key=lambda level: np.clip(level * weight, least, most).sum()))
    upper = min(upper, len(levels) - 1)
    exact = np.where(least / weight >= levels[upper], least, most).astype(np.float64)
    free = (least / weight < levels[upper]) & (most / weight > levels[upper - 1])
    exact[free] = (budget - exact[~free].sum()) * weight[free] / weight[free].sum()
    whole = np.floor(exact).astype(np.int64)
    remainders = np.where(free, exact - whole, -1.0)
    whole[np.argsort(-remainders, kind="stable")[: budget - int(whole.sum())]] += 1
    share[some] = whole
    return share


def take(
    labels: NDArray[np.int64],
    share: NDArray[np.int64],
    draw: NDArray[np.float64] | NDArray[np.int64],
    tie: NDArray[np.float64],
    picked: NDArray[np.int64] = NO_ROWS,
) -> NDArray[np.int64]:
    """The first rows of every group, in turn from all groups, in step with their shares.

    Args:
        labels: int64 `[n]`, each row's group.
        share: int64 `[groups]`, how many rows a group gives, those of `picked` among them.
        draw: `[n]`, the order inside a group, lowest first, then lowest row.
        tie: `[n]`, the order of rows of different groups that are at the same step, lowest first.
        picked: rows that are taken already, int64 `[m]`.

    Returns:
        The newly taken rows, int64.
    """
    rows = np.arange(len(labels))
    old = np.isin(rows, picked)
    order = np.lexsort((rows, draw, ~old, labels))
    sizes = np.bincount(labels, minlength=len(share))
    place = np.empty(len(rows), dtype=np.int64)  # of a row in its group
    place[order] = rows - np.repeat(np.cumsum(sizes) - sizes, sizes)
    taken = np.flatnonzero((place < share[labels]) & ~old)
    step = (place[taken] + 0.5) / share[labels[taken]]
    return taken[np.lexsort((taken, tie[taken], step))]
