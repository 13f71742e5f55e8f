"""Rows far from, or near to, the center of their cluster (arXiv 2206.14486)."""

from dataclasses import dataclass

import numpy as np

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans


@dataclass(frozen=True, kw_only=True)
class Prototypicality(Rule):
    """The rows farthest from the centers of their clusters, or nearest (arXiv 2206.14486, section 6).

    The self-supervised prototypes metric of Sorscher et al., a baseline of Self-Filter. Rows are clustered by
    spherical k-means; a row's difficulty is its cosine distance to its cluster's centroid. The paper keeps
    the farthest rows where data are plentiful, the nearest where they are scarce, and finds any number of
    clusters near the number of classes to work. Gains are the distances, 0 to 2, rounded to float32.

    Args:
        clusters: Number of clusters, 1 or more; at most the number of rows are made.
        nearest: Pick the most typical rows instead, nearest first.

    Examples:
        >>> features = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> rule = Prototypicality(clusters=1)
        >>> rule(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [2]
    """

    uses_features = True
    uses_faiss = True

    clusters: int = 100
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise ValueError(f"clusters: expected 1 or more, got {self.clusters!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick rows by their distance to their centroid."""
        units = UnitRows(pool.features)
        labels, centroids = kmeans(units, self.clusters, rng, gpu=True)
        cosines = np.empty(len(units))
        for block in blocks(len(units), 4096):
            cosines[block] = np.einsum("nd,nd->n", units[block], centroids[labels[block]], dtype=np.float64)
        distances = (1 - cosines).astype(np.float32).astype(np.float64)
        order = np.argsort(distances if self.nearest else -distances, kind="stable")
        picks = pool.unpicked(order)[:budget]
        return picks, distances[picks]
