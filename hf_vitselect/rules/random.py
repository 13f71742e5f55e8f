"""Uniform sampling, the baseline that many published selectors do not beat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, pool_size


@dataclass(frozen=True, kw_only=True)
class Random(Rule):
    """Picks rows uniformly at random, without replacement.

    Every gain is 0.0: no row is worth more than another. The picks of a smaller budget start those of a
    larger one with the same random state.

    Example:
        >>> rows, gains = Random()(None, None, 2, np.random.default_rng(0), {"row": np.arange(4)})
        >>> rows.shape, gains.tolist()
        ((2,), [0.0, 0.0])
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows; the arrays only tell the pool's size. See `Rule.__call__`."""
        order = rng.permutation(pool_size(scores, features, columns))
        return first_others(order, picked, budget), np.zeros(budget)
