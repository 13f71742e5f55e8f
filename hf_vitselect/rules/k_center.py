"""Rows as far as possible from all picked ones (arXiv 1708.00489; weighted: D3, arXiv 2503.11441)."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.clusters import unit_rows


@dataclass(frozen=True, kw_only=True)
class KCenter(Rule):
    """Rows as far as possible from all picked ones: greedy k-center (arXiv 1708.00489, algorithm 1).

    With `weighted`, the selection of D3 (arXiv 2503.11441). Each pick is `argmax_i w_i min_j d(i, j)` over
    the picked rows j, where d is the Euclidean distance of unit rows, 0 to 2, and w_i is 1, or the score of i
    if `weighted`. Before the first pick all rows are at distance 2. Ties go to the lowest row. Gains are the
    weighted distances. D3's score is the product of difficulty (`UPDScorer`) and dependability (a grade, such
    as `JudgeScore`'s).

    A pick costs one product of n x d, so this is for pools of up to about 100,000 rows. The weighted variant
    is an unofficial re-implementation; differences in docs/papers.md.

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
        units = unit_rows(pool.features)
        weights = pool.scores if self.weighted else np.ones(len(units))
        if weights.min() < 0:
            raise ValueError(
                f"expected weights of 0 or more, got {weights.min()}; shift or rescale the scores"
            )
        nearest = np.full(len(units), 2.0)
        reach = nearest * weights
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in progress(range(-len(pool.picked), budget), title="KCenter", unit="pick", leave=False):
            row = int(pool.picked[turn]) if turn < 0 else int(reach.argmax())
            if turn >= 0:
                picks[turn], gains[turn] = row, reach[row]
            # einsum sums in one order whatever the number of threads; BLAS may not.
            cosines = np.einsum("nd,d->n", units, units[row])
            np.minimum(nearest, np.sqrt(np.maximum(2 - 2 * cosines, 0)), out=nearest)
            np.multiply(nearest, weights, out=reach, where=reach >= 0)
            reach[row] = -1.0  # marks picked rows, which the line above leaves alone
        return picks, gains
