"""Random rows of those with a good enough grade (AlpaGasus, arXiv 2307.08701)."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule


@dataclass(frozen=True, kw_only=True)
class ScoreThreshold(Rule):
    """Rows whose score reaches a threshold, drawn at random (AlpaGasus, arXiv 2307.08701, section 2).

    The paper keeps all rows that ChatGPT grades 4.5 or more of 5, which is 9 on `JudgeScore`'s scale of 10.
    With a budget equal to their number, the subset is the paper's. Gains are the scores.

    Args:
        minimum: The lowest score that is good enough.

    Raises:
        ValueError: When picking, if fewer rows than the budget reach the threshold; it says how many do.

    Examples:
        >>> scores = np.array([9.5, 3.0, 9.0])
        >>> rows, gains = ScoreThreshold()(scores, None, 2, np.random.default_rng(0), {})
        >>> sorted(rows.tolist())
        [0, 2]
    """

    uses_scores = True

    minimum: float = 9.0

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Draw rows that are good enough."""
        order = rng.permutation(len(pool))
        picks = pool.unpicked(order[pool.scores[order] >= self.minimum])[:budget]
        if len(picks) < budget:
            raise ValueError(
                f"expected {budget} more rows with a score of {self.minimum} or more, got {len(picks)}; "
                "ask for fewer, or lower minimum="
            )
        return picks, pool.scores[picks]
