"""Rows far from, or near to, the centre of their cluster (arXiv 2206.14486)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others, required
from hf_vitselect.rules.clusters import kmeans, unit_rows


@dataclass(frozen=True, kw_only=True)
class Prototypicality(Rule):
    """The self-supervised prototypes metric (Sorscher et al., arXiv 2206.14486, section 6; a baseline of
    Self-Filter).

    Rows are clustered by spherical k-means, and a row's difficulty is its cosine distance to the centroid of
    its own cluster. The paper keeps the farthest rows where data are plenty and the nearest where they are
    scarce, and finds that the number of clusters matters little around the number of classes; what a
    sensible one is for conversations is not known.

    Gains are cosine distances, 0 to 2, rounded to float32.

    Attributes:
        clusters: How many; at most the number of rows are made.
        nearest: Pick the most typical rows instead, nearest first.

    Raises:
        ValueError: If there are fewer than one cluster.

    Example:
        >>> features = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> rule = Prototypicality(clusters=1)
        >>> rule(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [2]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = True

    clusters: int = 100
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters: expected 1 or more, got {self.clusters!r}")

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows by their distance to their centroids. See `Rule.__call__`."""
        units = unit_rows(required(features, "features", self))
        labels, centroids = kmeans(units, self.clusters, rng)
        cosines = np.einsum("nd,nd->n", units, centroids[labels], dtype=np.float64)
        distances = (1 - cosines).astype(np.float32).astype(np.float64)
        order = np.argsort(distances if self.nearest else -distances, kind="stable")
        picks = first_others(order, picked, budget)
        return picks, distances[picks]
