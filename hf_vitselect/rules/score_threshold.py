"""Rows whose grade is good enough (AlpaGasus, arXiv 2307.08701)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required


@dataclass(frozen=True, kw_only=True)
class ScoreThreshold(Rule):
    """Rows whose score reaches a threshold, drawn at random (AlpaGasus, arXiv 2307.08701, section 2).

    The paper keeps every row that ChatGPT grades 4.5 or more of 5; on `JudgeScore`'s scale of 10 that is 9.
    Here a budget says how many of such rows are drawn: as many as there are make the paper's subset.

    Attributes:
        minimum: The lowest score that is good enough.

    Raises:
        ValueError: At the call, if fewer rows than the budget reach the threshold; it says how many do.

    Example:
        >>> scores = np.array([9.5, 3.0, 9.0])
        >>> rows, gains = ScoreThreshold()(scores, None, 2, np.random.default_rng(0), {})
        >>> sorted(rows.tolist())
        [0, 2]
    """

    uses_scores: ClassVar[bool] = True
    uses_features: ClassVar[bool] = False

    minimum: float = 9.0

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draws `budget` rows of those that are good enough. See `Rule.__call__`."""
        scores = required(scores, "scores", self)
        order = rng.permutation(len(scores))
        picks = first_others(order[scores[order] >= self.minimum], picked, budget)
        if len(picks) < budget:
            raise ValueError(
                f"expected {budget} more rows with a score of {self.minimum} or more, got {len(picks)}; "
                "ask for fewer, or lower minimum="
            )
        return picks, scores[picks]
