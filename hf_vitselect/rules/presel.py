"""Task budgets by how little the question helps, then typical rows (PreSel, arXiv 2503.07591)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.clusters import kmeans, members, numbered, unit_rows
from hf_vitselect.rules.quotas import quotas, take


@dataclass(frozen=True, kw_only=True)
class PreSel(Rule):
    """Task shares by instruction relevance, then typical rows (PreSel, arXiv 2503.07591, its code).

    Each task gets a share of the budget by the softmax of minus its mean instruction relevance score (IRS,
    the loss with the question over the loss without it), with the temperature 1 / sqrt(tasks). Inside a task
    rows are clustered by k-means, one cluster for a hundred rows; a cluster gives rows in proportion to its
    size, the most typical first: those with the smallest mean distance to their five nearest rows in the
    cluster.

    The score is `QuestionGain`'s, one over IRS, so `by="question_gain"`. The paper measures IRS on a random
    5% of the pool and clusters DINOv2 features of the pictures; here it is the mean over all rows that have a
    score, and the features are whatever column is given.

    Gains are typicalities: one over the mean distance of unit rows.

    Attributes:
        task: The column that names the tasks.
        rows_per_cluster: Rows for each cluster, on average.
        neighbors: How many nearest rows typicality looks at.

    Raises:
        ValueError: If a parameter is below 1; at the call, if a score is not above 0.

    Example:
        >>> scores = np.array([2.0, 2.0, 1.0])
        >>> features = np.eye(3, dtype=np.float32)
        >>> columns = {"task": np.array(["a", "a", "b"])}
        >>> rows, gains = PreSel()(scores, features, 3, np.random.default_rng(0), columns)
        >>> sorted(rows.tolist())
        [0, 1, 2]
    """

    uses_scores: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    task: str = "task"
    rows_per_cluster: int = 100
    neighbors: int = 5

    def __post_init__(self) -> None:
        for name in ("rows_per_cluster", "neighbors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)!r}")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The tasks' column."""
        return (self.task,)

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, each task's and cluster's quota. See `Rule.__call__`."""
        scores, features = required(scores, "scores", self), required(features, "features", self)
        if scores.min() <= 0:
            raise ValueError(f"expected scores above 0 (by='question_gain'), got {scores.min()}")
        tasks = numbered(columns[self.task])
        sizes = np.bincount(tasks)
        relevance = np.bincount(tasks, weights=1 / scores) / sizes
        weights = np.exp(-(relevance - relevance.min()) * np.sqrt(len(sizes)))
        given = np.bincount(tasks[picked], minlength=len(sizes))
        task_share = quotas(sizes, weights, len(picked) + budget, given)

        clusters = np.empty(len(scores), dtype=np.int64)
        typicality = np.empty(len(scores))
        shares: list[NDArray[np.int64]] = []
        made = 0
        for rows, share in zip(members(tasks), task_share.tolist(), strict=True):
            units = unit_rows(features[rows])
            labels, _ = kmeans(units, max(1, len(rows) // self.rows_per_cluster), rng)
            inside = members(labels)
            for cluster in inside:
                typicality[rows[cluster]] = _typicality(units[cluster], self.neighbors)
            count = np.array([len(cluster) for cluster in inside])
            old = np.bincount(labels[np.isin(rows, picked)], minlength=len(count))
            shares.append(quotas(count, count.astype(np.float64), share, old))
            clusters[rows] = made + labels
            made += len(count)
        picks = take(clusters, np.concatenate(shares), -typicality, -typicality, picked)
        return picks, typicality[picks]


def _typicality(units: NDArray[np.float32], neighbors: int) -> NDArray[np.float64]:
    """One over the mean distance to the nearest other rows, float64 `[n]`; by blocks, so never n x n."""
    typicality = np.empty(len(units))
    nearest = min(neighbors, len(units) - 1)
    if nearest == 0:
        return np.ones(len(units))
    exact = units.astype(np.float64)
    for start in range(0, len(units), 1024):
        cosines = np.einsum("bd,nd->bn", exact[start : start + 1024], exact)
        distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = np.inf
        mean = np.partition(distances, nearest - 1, axis=1)[:, :nearest].mean(axis=1)
        typicality[start : start + 1024] = 1 / np.maximum(mean, 1e-6)
    return typicality.astype(np.float32).astype(np.float64)
