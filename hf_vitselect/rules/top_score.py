"""The highest scores, the baseline without diversity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required


@dataclass(frozen=True, kw_only=True)
class TopScore(Rule):
    """Picks the rows with the highest scores; ties go to the lowest row.

    Attributes:
        lowest: Pick the lowest scores instead, lowest first.

    Example:
        >>> rows, gains = TopScore()(np.array([1.0, 3.0, 3.0]), None, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([1, 2], [3.0, 3.0])
    """

    uses_scores: ClassVar[bool] = True
    uses_features: ClassVar[bool] = False

    lowest: bool = False

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows by their scores alone. See `Rule.__call__`."""
        scores = required(scores, "scores", self)
        order = np.argsort(scores if self.lowest else -scores, kind="stable")
        picks = first_others(order, picked, budget)
        return picks, scores[picks].astype(np.float64)
