"""High scores, spread out: each pick lowers the scores of its nearest remaining neighbours."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.neighbors.faiss_index import Index
from hf_vitselect.rules.neighbors.products import Products
from hf_vitselect.rules.neighbors.remaining import RemainingNeighbors, row_norms
from hf_vitselect.rules.top_score import TopScore

_OVERLAP_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class NeighborPenalty(Rule):
    """High scores, spread out: Self-Filter's second stage (arXiv 2402.12501, its code's defaults).

    Repeats: pick the row i with the highest current score, remove it, and for each of its `neighbors`
    nearest remaining rows j subtract `gamma * score_i * cos(i, j)**2` from the score of j. Here score_i is
    i's score at the moment of the pick.

    Which `rescale`: scores that are never negative, such as the necessity score or a loss, want `None`,
    the paper's rule as it is. Scores of any sign, such as a score net's difficulty or a CLIP score, want
    `"minmax"`: with them raw, a pick of negative score *raises* its neighbours, as in the paper's code, and
    so gathers duplicates where it should spread out.

    The picks are those of the naive loop, bit for bit, and do not depend on threads or device: ties go to
    the lowest row, both among scores and among neighbours, and a cosine is the float64 dot product over the
    float64 norms, rounded to float32; a zero vector has cosine 0 to every row. Where fewer than
    `neighbors` rows remain, all of them are penalised. `RemainingNeighbors` and `Products` say what it
    costs. With `approximate=True` some neighbours are missed, and the picks are others; see `Index`.

    Attributes:
        approximate: Find neighbours with a faiss index. It needs less memory than exact products, and less
            time in large pools on hardware without native bfloat16; `notes` measures what it changes.
        gamma: Strength of the penalty, 0 or more; 0 is `TopScore`.
        neighbors: How many rows each pick penalises, 1 or more.
        rescale: `"minmax"` maps the scores to [0, 1] first (constant scores to 0), and gains are then in
            that unit; `None` leaves them.

    Raises:
        ValueError: If a parameter is out of its range.

    Example:
        >>> scores = np.array([1.0, 0.9, 0.5])
        >>> features = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> rows, gains = NeighborPenalty(neighbors=1)(scores, features, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([0, 2], [1.0, 0.5])
    """

    uses_scores: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

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

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows by score and distance; rows of `picked` lower their neighbours too.

        See `Rule.__call__`.

        Raises:
            ValueError: If scores or features are missing, a feature is not finite, or the penalties drive
                the scores out of float64's range (a large gamma over negative scores can).
        """
        scores, features = required(scores, "scores", self), required(features, "features", self)
        if self.rescale == "minmax":
            spread = np.ptp(scores)
            scores = (scores - scores.min()) / (spread if spread > 0 else 1.0)
        if self.gamma == 0:
            return TopScore()(scores, features, budget, rng, columns, picked)

        board = _Leaderboard(scores)
        features = np.asarray(features)  # rows of a memmap are slower to take
        norms = row_norms(features)
        candidates = Index(features, norms, rng) if self.approximate else Products(features, norms)
        turns = len(picked) + budget
        remaining = RemainingNeighbors(features, norms, candidates, self.neighbors, pops=turns)
        picks = np.empty(turns, dtype=np.int64)
        gains = np.empty(turns, dtype=np.float64)
        for turn in tqdm(range(turns), desc="NeighborPenalty", unit="pick", leave=False):
            row = int(picked[turn]) if turn < len(picked) else board.leader()
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
        return picks[len(picked) :], gains[len(picked) :]

    def notes(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
    ) -> dict[str, Any]:
        """For approximate picks, the share of them that exact ones have in common, on random rows.

        Returns:
            Nothing if the picks are exact, else `overlap_with_exact`, 0 to 1, and `overlap_rows`, how
            many rows it was measured on, with the same share of them picked; at most 20,000.
        """
        if not self.approximate or scores is None or features is None:
            return {}
        rows = np.sort(rng.choice(len(scores), size=min(len(scores), _OVERLAP_ROWS), replace=False))
        picked = max(1, budget * len(rows) // len(scores))
        sample = scores[rows], features[rows], picked
        near, _ = self(*sample, rng, columns)
        exact, _ = replace(self, approximate=False)(*sample, rng, columns)
        return {
            "overlap_with_exact": len(np.intersect1d(near, exact)) / picked,
            "overlap_rows": len(rows),
        }


class _Leaderboard:
    """Scores that rise and fall, with the highest one at hand.

    A two-level maximum over blocks of about sqrt(n) scores: reading the leader and changing k scores cost
    O(sqrt(n)) and O(k sqrt(n)) numpy work, and unlike in a heap scores may rise.

    Attributes:
        scores: float64 `[n]`; read it, and write through `update`. Removed rows hold -inf.
    """

    def __init__(self, scores: NDArray[np.float64]) -> None:
        self._side = math.isqrt(len(scores))
        self._grid = np.full((-(-len(scores) // self._side), self._side), -np.inf)
        self.scores = self._grid.reshape(-1)[: len(scores)]
        self.scores[:] = scores
        self._best = self._grid.max(axis=1)

    def leader(self) -> int:
        """Returns the row with the highest score, the lowest such row in a tie."""
        block = int(self._best.argmax())
        return block * self._side + int(self._grid[block].argmax())

    def update(self, rows: NDArray[np.int64], scores: NDArray[np.float64] | float) -> None:
        """Sets the scores of some rows, int64 `[m]`, distinct."""
        self.scores[rows] = scores
        blocks = rows // self._side
        self._best[blocks] = self._grid[blocks].max(axis=1)
