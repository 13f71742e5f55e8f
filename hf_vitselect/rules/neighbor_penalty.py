"""High scores, spread out: each pick lowers the scores of its nearest remaining neighbors."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.progress import progress
from hf_vitselect.rules.base import Features, Picks, Pool, Rule, Scores
from hf_vitselect.rules.faiss_build import faiss_notes
from hf_vitselect.rules.neighbors.remaining import CandidateSource, RemainingNeighbors, row_norms
from hf_vitselect.rules.top_score import TopScore

_OVERLAP_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class NeighborPenalty(Rule):
    """High scores, spread out by a penalty on neighbors: Self-Filter's second stage (arXiv 2402.12501).

    Each pick is the row i with the highest current score D_i. Its `neighbors` nearest remaining rows j are
    then penalized: `D_j <- D_j - gamma * D_i * cos(i, j)**2`. Gains are the scores D_i at the moment of the
    pick. Defaults are those of the paper's code; differences in docs/papers.md.

    Leave `rescale` at `None`, as in the paper, for scores that are never negative, such as necessity or a
    loss. Use `"minmax"` for scores of any sign, such as a score net's difficulty or a CLIP score: a pick with
    a negative score *raises* its neighbors, so the rule would gather duplicates instead of spreading out.

    Picks are those of the naive loop, bit for bit, whatever the threads or device. Ties among scores and
    among neighbors go to the lowest row. A cosine is the float64 dot product over the float64 norms, rounded
    to float32; a zero vector has cosine 0 to every row. If fewer than `neighbors` rows remain, all are
    penalized. For time and memory see `RemainingNeighbors` and `Products`.

    Args:
        approximate: Find neighbors with a faiss index, which misses some, so picks differ; see `FaissIndex`.
            It needs less memory than exact products, and in large pools less time on hardware without native
            bfloat16. The recipe notes how many picks agree with exact ones.
        gamma: Strength of the penalty, 0 or more; 0 gives `TopScore`.
        neighbors: Rows that each pick penalizes, 1 or more.
        rescale: `"minmax"` maps the scores to [0, 1] first (constant scores to 0), and gains are on that
            scale; `None` leaves them.

    Raises:
        ValueError: If a parameter is out of its range; when picking, if the penalties drive the scores out of
            float64's range, as a large gamma can with negative scores.

    Examples:
        >>> scores = np.array([1.0, 0.9, 0.5])
        >>> features = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> rows, gains = NeighborPenalty(neighbors=1)(scores, features, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([0, 2], [1.0, 0.5])
    """

    uses_scores = True
    uses_features = True

    approximate: bool = False
    gamma: float = 1.0
    neighbors: int = 10
    rescale: Literal["minmax"] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise ValueError(
                f"gamma: expected a finite number of 0 or more, got {self.gamma!r}; the paper uses 1.0"
            )
        if not isinstance(self.neighbors, int) or self.neighbors < 1:
            raise ValueError(
                f"neighbors: expected an int of 1 or more, got {self.neighbors!r}; "
                "the paper uses 10, and gamma=0 turns the penalty off"
            )
        if self.rescale not in (None, "minmax"):
            raise ValueError(
                f"rescale: expected None or 'minmax', got {self.rescale!r}; use 'minmax' for scores in [0, 1]"
            )

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the highest current score again and again; earlier picks penalize their neighbors first."""
        if self.rescale == "minmax":
            spread = np.ptp(pool.scores)
            pool = replace(pool, scores=(pool.scores - pool.scores.min()) / (spread if spread > 0 else 1.0))
        if self.gamma == 0:
            return TopScore().pick(pool, budget, rng)

        norms = row_norms(pool.features)
        candidates: CandidateSource
        # Imported here, so that importing the rules loads neither faiss nor torch.
        if self.approximate:
            from hf_vitselect.rules.neighbors.faiss_index import FaissIndex

            candidates = FaissIndex(pool.features, norms, rng)
        else:
            from hf_vitselect.rules.neighbors.products import Products

            candidates = Products(pool.features, norms)
        earlier, turns = len(pool.picked), len(pool.picked) + budget
        remaining = RemainingNeighbors(pool.features, norms, candidates, self.neighbors, pops=turns)
        board = _Leaderboard(pool.scores)
        picks = np.empty(turns, dtype=np.int64)
        gains = np.empty(turns, dtype=np.float64)
        for turn in progress(range(turns), title="NeighborPenalty", unit="pick", leave=False):
            row = int(pool.picked[turn]) if turn < earlier else board.leader()
            gain = board.scores[row]
            if not math.isfinite(gain):
                raise ValueError(
                    f"expected scores that stay finite, got {gain} at pick {turn} with gamma={self.gamma}; "
                    "use a smaller gamma, or rescale='minmax'"
                )
            picks[turn], gains[turn] = row, gain
            board.update(np.array([row]), -np.inf)
            near, cosines = remaining.pop(row, board.scores)
            # The order of the factors is that of the paper's code: another one rounds differently.
            board.update(near, board.scores[near] - gain * cosines.astype(np.float64) ** 2 * self.gamma)
        return picks[earlier:], gains[earlier:]

    def notes(
        self, scores: Scores | None, features: Features | None, budget: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return the share of approximate picks that exact ones agree with, on at most 20,000 random rows.

        The same share of these rows is picked as of the pool. Exact picks have no notes.
        """
        if not self.approximate or scores is None or features is None:
            return {}
        rows = np.sort(rng.choice(len(scores), size=min(len(scores), _OVERLAP_ROWS), replace=False))
        count = max(1, budget * len(rows) // len(scores))
        sample = scores[rows], features[rows], count
        near, _ = self(*sample, rng, {})
        exact, _ = replace(self, approximate=False)(*sample, rng, {})
        overlap = len(np.intersect1d(near, exact)) / count
        return {"overlap_with_exact": overlap, "overlap_rows": len(rows), **faiss_notes()}


class _Leaderboard:
    """Scores that rise and fall, with the highest one at hand.

    Scores lie in about sqrt(n) blocks of about sqrt(n), and the maximum of each block is kept: reading the
    leader costs O(sqrt(n)), changing k scores O(k sqrt(n)) numpy work. Unlike in a heap, scores may rise.

    Attributes:
        scores: float64 `[n]`, to be written only through `update`. Removed rows hold -inf.
    """

    def __init__(self, scores: NDArray[np.float64]) -> None:
        self._side = math.isqrt(len(scores))
        self._grid = np.full((-(-len(scores) // self._side), self._side), -np.inf)
        self.scores = self._grid.reshape(-1)[: len(scores)]
        self.scores[:] = scores
        self._best = self._grid.max(axis=1)

    def leader(self) -> int:
        """Return the row with the highest score, the lowest such row in a tie."""
        block = int(self._best.argmax())
        return block * self._side + int(self._grid[block].argmax())

    def update(self, rows: NDArray[np.int64], scores: NDArray[np.float64] | float) -> None:
        """Set the scores of some rows, int64 `[m]`, distinct."""
        self.scores[rows] = scores
        blocks = rows // self._side
        self._best[blocks] = self._grid[blocks].max(axis=1)
