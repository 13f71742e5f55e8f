"""The highest scores, a baseline without diversity."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule


@dataclass(frozen=True, kw_only=True)
class TopScore(Rule):
    """The rows with the highest scores, or the lowest; ties go to the lowest row.

    Gains are the scores.

    Args:
        lowest: Pick the lowest scores instead, lowest first.

    Examples:
        >>> rows, gains = TopScore()(np.array([1.0, 3.0, 3.0]), None, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([1, 2], [3.0, 3.0])
    """

    uses_scores = True

    lowest: bool = False

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the first rows by score."""
        order = np.argsort(pool.scores if self.lowest else -pool.scores, kind="stable")
        picks = pool.unpicked(order)[:budget]
        return picks, pool.scores[picks]
