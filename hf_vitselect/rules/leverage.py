"""Rows that shape the main directions of the features (ScalSelect, arXiv 2602.11636)."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.blocks import blocks


@dataclass(frozen=True, kw_only=True)
class Leverage(Rule):
    """The rows of highest leverage on the features' main directions (ScalSelect, arXiv 2602.11636).

    This is the last step of the paper's code. The centered features are decomposed as `U S V^T`. The first k
    singular directions are kept, as few as hold the share `energy` of the variance. The leverage of row i is
    `sum_{j <= k} U_ij**2`, 0 to 1: how much the subspace depends on the row. Ties go to the lowest row. Gains
    are the leverages, rounded to float32.

    Unofficial re-implementation; differences in docs/papers.md.

    Args:
        energy: Share of the variance that the kept directions hold, above 0 and up to 1.

    Examples:
        >>> features = np.array([[0, 1], [0, 1.1], [0, 0.9], [5, 1]], dtype=np.float32)
        >>> Leverage()(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [3]
    """

    uses_features = True

    energy: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.energy <= 1:
            raise ValueError(f"energy: expected a share above 0 and up to 1, got {self.energy!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick the rows of highest leverage."""
        features = pool.features
        mean = features.mean(axis=0, dtype=np.float64)
        # U comes from the d x d covariance, so memory does not grow with the rows: U = (X - mean) V / S.
        covariance = np.zeros((features.shape[1],) * 2)
        for block in blocks(len(features), 4096):
            covariance += (features[block] - mean).T @ (features[block] - mean)
        variances, axes = np.linalg.eigh(covariance)
        variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
        cumulative = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        count = int(np.searchsorted(cumulative, self.energy)) + 1
        kept = np.flatnonzero(variances > variances[0] * 1e-12)[:count]  # the others are rounding errors
        axes = axes[:, kept] / np.sqrt(variances[kept])
        leverage = np.empty(len(features), dtype=np.float32)
        for block in blocks(len(features), 4096):
            leverage[block] = (((features[block] - mean) @ axes) ** 2).sum(axis=1)
        picks = pool.unpicked(np.argsort(-leverage, kind="stable"))[:budget]
        return picks, leverage[picks].astype(np.float64)
