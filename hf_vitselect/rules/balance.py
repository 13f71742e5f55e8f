"""Any rule inside groups of rows, each group with its quota of the budget."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.clusters import rows_by_label
from hf_vitselect.rules.quotas import group_quotas, take_in_turn


def pick_in_groups(
    rule: Rule,
    pool: Pool,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    budget: int,
    rng: np.random.Generator,
) -> Picks:
    """Pick by a rule inside each group, as if the group were the pool.

    Groups are picked from in turn, in step with their quotas.

    Args:
        rule: Picks inside each group.
        pool: All rows.
        labels: int64 `[n]`, each row's group.
        weights: float64 `[groups]`, the quotas' proportions, see `quotas`.
        budget: Rows to pick in addition to `pool.picked`.
        rng: As in `Rule.pick`.
    """
    quotas = group_quotas(labels, weights, pool, budget)
    rank = np.full(len(pool), len(pool), dtype=np.int64)  # of a row among its group's picks
    gains = np.zeros(len(pool))
    for label, rows in enumerate(rows_by_label(labels)):
        group = pool.take(rows)
        if new := int(quotas[label]) - len(group.picked):
            picks, group_gains = rule.pick(group, new, rng)
            rank[rows[picks]] = np.arange(new)
            gains[rows[picks]] = group_gains
    picks = take_in_turn(labels, quotas, rank, np.zeros(len(pool)), pool.picked)
    return picks, gains[picks]
