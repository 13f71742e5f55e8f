"""Any rule inside the groups of a column, each with its share of the budget."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule
from hf_vitselect.rules.clusters import members
from hf_vitselect.rules.quotas import quotas, take


def pick_in_groups(
    rule: Rule,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    scores: NDArray[np.float64] | None,
    features: NDArray[np.float32] | None,
    budget: int,
    rng: np.random.Generator,
    columns: Mapping[str, NDArray[np.generic]],
    picked: NDArray[np.int64] = NO_ROWS,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picks `budget` rows, each group's share by the rule as if the group were the pool.

    Args:
        labels: int64 `[n]`, each row's group.
        weights: float64 `[groups]`, the groups' shares, rounded by largest remainder; a group with too few
            rows hands the rest on.
        scores, features, budget, rng, columns, picked: As for `Rule.__call__`, of all rows.

    Returns:
        As a rule does; picks come in turn from all groups, in step with their shares.
    """
    groups = members(labels)
    sizes = np.array([len(rows) for rows in groups])
    given = np.bincount(labels[picked], minlength=len(groups))
    share = quotas(sizes, weights, len(picked) + budget, given)
    place = np.full(len(labels), len(labels), dtype=np.int64)
    place[picked] = -1
    gains = np.zeros(len(labels))
    for rows, wanted in zip(groups, (share - given).tolist(), strict=True):
        if wanted == 0:
            continue
        old = picked[labels[picked] == labels[rows[0]]]
        picks, worth = rule(
            None if scores is None else scores[rows],
            None if features is None else features[rows],
            wanted,
            rng,
            {name: values[rows] for name, values in columns.items()},
            **({"picked": np.searchsorted(rows, old)} if len(old) else {}),
        )
        place[rows[picks]] = np.arange(wanted)
        gains[rows[picks]] = worth
    taken = take(labels, share, place, np.zeros(len(labels)), picked)
    return taken, gains[taken]
