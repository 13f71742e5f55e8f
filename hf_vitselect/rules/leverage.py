"""Rows that carry the main directions of the features (ScalSelect, arXiv 2602.11636)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required


@dataclass(frozen=True, kw_only=True)
class Leverage(Rule):
    """The rows of highest leverage (ScalSelect, arXiv 2602.11636, its code's last step).

    The features are centred, their main directions are kept up to a share of the variance ("energy"), and a
    row's score is the squared length of its row in the left singular vectors: how much the subspace depends
    on it, 0 to 1. The paper's features are a model's first-layer states of the visual tokens that most of the
    instruction's attention is on; here they are whatever column is given.

    Gains are the leverages, rounded to float32.

    Attributes:
        energy: Share of the variance that the kept directions hold, above 0 to 1.

    Raises:
        ValueError: If `energy` is not in its range.

    Example:
        >>> features = np.array([[0, 1], [0, 1.1], [0, 0.9], [5, 1]], dtype=np.float32)
        >>> Leverage()(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [3]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = True

    energy: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.energy <= 1:
            raise ValueError(f"energy: expected a share above 0 and up to 1, got {self.energy!r}")

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks the `budget` rows of highest leverage. See `Rule.__call__`."""
        features = required(features, "features", self)
        mean = features.mean(axis=0, dtype=np.float64)
        spread = np.zeros((features.shape[1],) * 2)
        for part in _parts(features):
            spread += (part - mean).T @ (part - mean)
        variances, axes = np.linalg.eigh(spread)
        variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
        share = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        kept = np.flatnonzero(variances > variances[0] * 1e-12)[
            : int(np.searchsorted(share, self.energy)) + 1
        ]
        axes = axes[:, kept] / np.sqrt(variances[kept])
        leverage = np.concatenate([(((part - mean) @ axes) ** 2).sum(axis=1) for part in _parts(features)])
        leverage = leverage.astype(np.float32).astype(np.float64)
        picks = first_others(np.argsort(-leverage, kind="stable"), picked, budget)
        return picks, leverage[picks]


def _parts(features: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    return (features[start : start + 4096].astype(np.float64) for start in range(0, len(features), 4096))
