"""Rows as far as possible from all picked ones (arXiv 1708.00489; weighted: D3, arXiv 2503.11441)."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Features, Picks, Pool, Rule, Scores
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import unit_rows
from hf_vitselect.rules.neighbors.farthest_rows import FarthestRows
from hf_vitselect.rules.neighbors.nearly_farthest_rows import NearlyFarthestRows

_MOST_EXACT = 200_000  # rows
_FEW_PICKS = 4_000  # that are cheap to find exactly
_SAMPLE = 50_000  # rows on which the approximation is measured
_FEWEST = 300  # picks among them: the first ones are compared with all rows


@dataclass(frozen=True, kw_only=True)
class KCenter(Rule):
    """Rows as far as possible from all picked ones: greedy k-center (arXiv 1708.00489, algorithm 1).

    With `weighted`, the selection of D3 (arXiv 2503.11441). Each pick is `argmax_i w_i min_j d(i, j)` over
    the picked rows j, where d is the Euclidean distance of unit rows, 0 to 2, and w_i is 1, or the score of i
    if `weighted`. Before the first pick all rows are at distance 2. Ties go to the lowest row. Gains are the
    weighted distances. D3's score is the product of difficulty (`UPDScorer`) and dependability (a grade, such
    as `JudgeScore`'s).

    Most distances are never computed, see `FarthestRows`. More than 4,000 picks among more than 200,000 rows
    are nearly the farthest ones unless `approximate=False`: a row is compared with the first picks and with
    those around it. The recipe's note `radius` says how much farther the farthest row is then from its
    nearest pick, as a factor, measured without kinds on 50,000 random rows of which the same share is picked,
    if that is 300 or more.

    The weighted variant is an unofficial re-implementation; differences in docs/papers.md.

    Args:
        approximate: Whether picks may be nearly the farthest; None says yes for many picks of many rows.
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

    approximate: bool | None = None
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
        remaining: FarthestRows | NearlyFarthestRows
        if self._is_approximate(len(pool), budget):
            remaining = NearlyFarthestRows(pool.features, weights, rng)
        else:
            remaining = FarthestRows(pool.features, weights, len(pool.picked) + budget)
        for row in pool.picked.tolist():
            remaining.add(row)
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in progress(range(budget), title="KCenter", unit="pick", leave=False):
            picks[turn], gains[turn] = remaining.farthest()
            remaining.add(int(picks[turn]))
        return picks, gains

    def notes(
        self, scores: Scores | None, features: Features | None, budget: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return how much farther approximate picks leave the farthest row than exact ones, on a sample."""
        if features is None or not self._is_approximate(len(features), budget):
            return {}
        rows = np.sort(rng.choice(len(features), min(len(features), _SAMPLE), replace=False))
        picks = budget * len(rows) // len(features)
        if picks < _FEWEST:
            return {"radius": None}
        sample = None if scores is None else scores[rows], np.array(features[rows])
        of_both = [
            _radius(sample[1], replace(self, approximate=approximate)(*sample, picks, rng, {})[0])
            for approximate in (True, False)
        ]
        return {"radius": round(of_both[0] / of_both[1], 4) if of_both[1] else None}

    def _is_approximate(self, rows: int, budget: int) -> bool:
        many = rows > _MOST_EXACT and budget > _FEW_PICKS
        return many if self.approximate is None else self.approximate


def _radius(features: NDArray[np.float32], picks: NDArray[np.int64]) -> float:
    """The distance of the row that is farthest from its nearest pick."""
    units = unit_rows(features)
    nearest = min((units[block] @ units[picks].T).max(axis=1).min() for block in blocks(len(units), 4096))
    return float(np.sqrt(max(0.0, 2 - 2 * nearest)))
