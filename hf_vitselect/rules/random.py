"""Uniform sampling, a baseline that many published selectors do not beat."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule


@dataclass(frozen=True, kw_only=True)
class Random(Rule):
    """Rows drawn uniformly at random, without replacement.

    Rows are picked in the order of their random keys, so a smaller subset is the start of a larger one, and
    in a pool with other rows, or the same in another order, the rows keep their order. All gains are 0.

    Examples:
        >>> rows, gains = Random()(None, None, 2, np.random.default_rng(0), {"row": np.arange(4)})
        >>> rows.shape, gains.tolist()
        ((2,), [0.0, 0.0])
    """

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Take the lowest keys that are not picked yet."""
        return pool.unpicked(np.argsort(pool.keys, kind="stable"))[:budget], np.zeros(budget)
