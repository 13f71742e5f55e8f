"""Rows as far as possible from all picked ones (arXiv 1708.00489; weighted: D3, arXiv 2503.11441)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.clusters import unit_rows


@dataclass(frozen=True, kw_only=True)
class KCenter(Rule):
    """Greedy k-center (Sener and Savarese, arXiv 1708.00489, algorithm 1), or D3's weighted one.

    Repeats: pick the row that is farthest from its nearest picked row, by the Euclidean distance of unit
    rows (0 to 2). Before there is any, all rows are at distance 2, and the lowest row is picked.

    With `weighted` a row's distance counts times its score, `argmax s_i min_j d(i, j)`: the selection of
    D3 (arXiv 2503.11441) with s the product of difficulty (`UncertaintyDifficulty`) and dependability (a
    grade, such as `JudgeScore`'s). Its exact objective, weights and number of rounds could not be read: this
    is a re-implementation from digests.

    Time is one product of n x d a pick, so it is for pools of up to some 100,000 rows. Gains are the
    distances, times the scores if weighted.

    Attributes:
        weighted: Whether scores weigh the distances.

    Raises:
        ValueError: At the call, if a weight is below 0.

    Example:
        >>> features = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> rows, gains = KCenter()(None, features, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.round(3).tolist()
        ([0, 2], [2.0, 1.414])
    """

    uses_features: ClassVar[bool] = True

    weighted: bool = False

    @property
    def uses_scores(self) -> bool:  # type: ignore[override]
        """Only weights need scores."""
        return self.weighted

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows by their distance from others. See `Rule.__call__`."""
        units = unit_rows(required(features, "features", self))
        weights = required(scores, "scores", self) if self.weighted else np.ones(len(units))
        if weights.min() < 0:
            raise ValueError(
                f"expected weights of 0 or more, got {weights.min()}; shift or rescale the scores"
            )
        nearest = np.full(len(units), 2.0)
        reach = nearest * weights
        picks = np.empty(budget, dtype=np.int64)
        gains = np.empty(budget)
        for turn in tqdm(range(-len(picked), budget), desc="KCenter", unit="pick", leave=False):
            row = int(picked[turn]) if turn < 0 else int(reach.argmax())
            if turn >= 0:
                picks[turn], gains[turn] = row, reach[row]
            # einsum sums in one order whatever the number of threads; BLAS may not.
            cosines = np.einsum("nd,d->n", units, units[row])
            np.minimum(nearest, np.sqrt(np.maximum(2 - 2 * cosines, 0)), out=nearest)
            np.multiply(nearest, weights, out=reach, where=reach >= 0)
            reach[row] = -1.0
        return picks, gains
