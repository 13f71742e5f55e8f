"""Task quotas by how little the question helps, then typical rows (PreSel, arXiv 2503.07591)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import integer_labels, kmeans, rows_by_label, unit_rows
from hf_vitselect.rules.quotas import group_quotas, quotas, take_in_turn


@dataclass(frozen=True, kw_only=True)
class PreSel(Rule):
    """The most typical rows of each task, more where the question helps the answer (arXiv 2503.07591).

    As in PreSel's code: the quota of task t is proportional to `exp(-IRS_t * sqrt(T))`. T is the number of
    tasks, and IRS_t the mean instruction relevance score of the task's rows: the loss with the question over
    the loss without it. Inside a task rows are clustered by k-means, and clusters give rows in proportion to
    their size. In a cluster the most typical rows come first: those with the smallest mean distance to their
    nearest rows in the cluster. Gains are typicalities, one over that mean distance of unit rows.

    The score is `QuestionGain`'s, which is 1 / IRS: give `by="question_gain"`. Unofficial re-implementation;
    differences in docs/papers.md.

    Args:
        task: Column of task names.
        rows_per_cluster: Average rows of a cluster, 1 or more.
        neighbors: Nearest rows that typicality averages over, 1 or more.

    Raises:
        ValueError: When picking, if a score is not above 0.

    Examples:
        >>> scores = np.array([2.0, 2.0, 1.0])
        >>> features = np.eye(3, dtype=np.float32)
        >>> columns = {"task": np.array(["a", "a", "b"])}
        >>> rows, gains = PreSel()(scores, features, 3, np.random.default_rng(0), columns)
        >>> sorted(rows.tolist())
        [0, 1, 2]
    """

    uses_scores = True
    uses_features = True
    uses_faiss = True

    task: str = "task"
    rows_per_cluster: int = 100
    neighbors: int = 5

    def __post_init__(self) -> None:
        for name in ("rows_per_cluster", "neighbors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)!r}")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The column of tasks."""
        return (self.task,)

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick each task's and cluster's quota."""
        if pool.scores.min() <= 0:
            raise ValueError(f"expected scores above 0 (by='question_gain'), got {pool.scores.min()}")
        tasks = integer_labels(pool.columns[self.task])
        relevance = np.bincount(tasks, weights=1 / pool.scores) / np.bincount(tasks)
        weights = np.exp(-(relevance - relevance.min()) * np.sqrt(len(relevance)))
        task_quotas = group_quotas(tasks, weights, pool, budget)

        clusters = np.empty(len(pool), dtype=np.int64)
        typicality = np.empty(len(pool))
        cluster_quotas: list[NDArray[np.int64]] = []
        first = 0  # number of a task's first cluster
        for rows, quota in zip(rows_by_label(tasks), task_quotas.tolist(), strict=True):
            units = unit_rows(pool.features[rows])
            labels, _ = kmeans(units, max(1, len(rows) // self.rows_per_cluster), rng, gpu=True)
            for cluster in rows_by_label(labels):
                typicality[rows[cluster]] = _typicality(units[cluster], self.neighbors)
            sizes = np.bincount(labels)
            earlier = np.bincount(labels[np.isin(rows, pool.picked)], minlength=len(sizes))
            cluster_quotas.append(quotas(sizes, sizes.astype(np.float64), quota, earlier))
            clusters[rows] = first + labels
            first += len(sizes)
        picks = take_in_turn(clusters, np.concatenate(cluster_quotas), -typicality, -typicality, pool.picked)
        return picks, typicality[picks]


def _typicality(units: NDArray[np.float32], neighbors: int) -> NDArray[np.float64]:
    """One over the mean distance to the nearest other rows, float64 `[n]`; in blocks, so never n x n."""
    typicality = np.empty(len(units))
    nearest = min(neighbors, len(units) - 1)
    if nearest == 0:
        return np.ones(len(units))
    exact = units.astype(np.float64)
    for block in blocks(len(units), 1024):
        cosines = np.einsum("bd,nd->bn", exact[block], exact)
        distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
        distances[np.arange(len(distances)), np.arange(block.start, block.stop)] = np.inf
        mean = np.partition(distances, nearest - 1, axis=1)[:, :nearest].mean(axis=1)
        typicality[block] = 1 / np.maximum(mean, 1e-6)
    return typicality.astype(np.float32).astype(np.float64)
