"""Rows as far as possible from all picked ones (arXiv 1708.00489; weighted: D3, arXiv 2503.11441)."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Picks, Pool, Rule


@dataclass(frozen=True, kw_only=True)
class KCenter(Rule):
    """Rows as far as possible from all picked ones: greedy k-center (arXiv 1708.00489, algorithm 1).

    With `weighted`, the selection of D3 (arXiv 2503.11441). Each pick is `argmax_i w_i min_j d(i, j)` over
    the picked rows j, where d is the Euclidean distance of unit rows, 0 to 2, and w_i is 1, or the score of i
    if `weighted`. Before the first pick all rows are at distance 2. Ties go to the lowest row. Gains are the
    weighted distances. D3's score is the product of difficulty (`UPDScorer`) and dependability (a grade, such
    as `JudgeScore`'s).

    Many distances are never computed, see `FarthestRows`. Time still grows with rows times picks.

    The weighted variant is an unofficial re-implementation; differences in docs/papers.md.

    Args:
        weighted: Whether scores weight the distances.

    Raises:
        ValueError: When picking, if a weight is below 0.

    Examples:
        >>> features = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> rows, gains = KCenter()(None, features, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.round(3).tolist()
        ([0, 2], [2.0, 1.414])
    """

    uses_features = True

    weighted: bool = False

    @property
    def uses_scores(self) -> bool:
        """Whether scores weight the distances."""
        return self.weighted

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the farthest row again and again."""
        weights = pool.scores if self.weighted else np.ones(len(pool))
        if weights.min() < 0:
            raise ValueError(
                f"expected weights of 0 or more, got {weights.min()}; shift or rescale the scores"
            )
        # Imported here, so that importing the rules does not load torch.
        from hf_vitselect.rules.neighbors.farthest_rows import FarthestRows

        remaining = FarthestRows(pool.features, weights, len(pool.picked) + budget)
        for row in pool.picked.tolist():
            remaining.add(row)
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in progress(range(budget), title="KCenter", unit="pick", leave=False):
            picks[turn], gains[turn] = remaining.farthest()
            remaining.add(int(picks[turn]))
        return picks, gains
