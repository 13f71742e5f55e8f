"""Necessity-based grouped sampling: each group of rows gives its quota (MLLM-Selector, arXiv 2503.20502)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.clusters import UnitRows, integer_labels, kmeans
from hf_vitselect.rules.quotas import group_quotas, take_in_turn


@dataclass(frozen=True, kw_only=True)
class GroupedSampling(Rule):
    """A quota of rows from each group of the pool: MLLM-Selector's second stage (arXiv 2503.20502).

    By default rows are cut into ten quantiles of necessity, quantiles of higher necessity give more rows, and
    rows inside a quantile are drawn at random. Quotas are rounded as by `quotas`. A group with fewer
    rows than its quota gives all of them, and the others share the rest. Groups are picked from in turn, in
    step with their quotas. Gains are the scores.

    Neither the order of rows inside a group nor the groups depend on the budget, so a smaller subset lies
    inside a larger one.

    Unofficial re-implementation; differences in docs/papers.md.

    Args:
        groups: A number, 1 or more, of which at most the number of rows are made: quantiles of the score, of
            equal size, or clusters if `cluster` is set. A name: the column whose values are the groups, such
            as the source or task.
        cluster: Whether the groups are k-means clusters of the unit features.
        quota: `"uniform"`, the same for each group; `"proportional"` to its rows; or `"rising"`,
            proportional to its rows times its rank by mean score, 1 for the lowest.
        within: Order inside a group: `"random"`, or `"necessity"` for the highest score first.

    Examples:
        >>> scores = np.array([0.1, 0.9, 0.2, 0.8])
        >>> rule = GroupedSampling(groups=2, quota="uniform", within="necessity")
        >>> rows, gains = rule(scores, None, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([1, 2], [0.9, 0.2])
    """

    uses_scores = True

    groups: int | str = 10
    cluster: bool = False
    quota: Literal["uniform", "proportional", "rising"] = "rising"
    within: Literal["random", "necessity"] = "random"

    def __post_init__(self) -> None:
        named = isinstance(self.groups, str) and self.groups != ""
        if not named and not (type(self.groups) is int and self.groups >= 1):  # True is an int, but no number
            raise ValueError(f"groups: expected a number from 1 or a column's name, got {self.groups!r}")
        if self.cluster and named:
            raise ValueError(f"groups: expected the number of clusters, got {self.groups!r}")
        for name, choices in (
            ("quota", ("uniform", "proportional", "rising")),
            ("within", ("random", "necessity")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")

    @property
    def uses_features(self) -> bool:
        """Whether groups are clusters of the features."""
        return self.cluster

    @property
    def uses_faiss(self) -> bool:
        """Whether groups are clusters of the features."""
        return self.cluster

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The column of groups, if they come from one."""
        return (self.groups,) if isinstance(self.groups, str) else ()

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick each group's quota."""
        priority = pool.keys if self.within == "random" else -pool.scores
        labels = self._labels(pool, rng)
        quotas = group_quotas(labels, self._weights(pool.scores, labels), pool, budget)
        picks = take_in_turn(labels, quotas, priority, -pool.scores, pool.picked)
        return picks, pool.scores[picks]

    def _labels(self, pool: Pool, rng: np.random.Generator) -> NDArray[np.int64]:
        """The group of each row, numbered from 0."""
        if isinstance(self.groups, str):
            return integer_labels(pool.columns[self.groups])
        if self.cluster:
            return kmeans(UnitRows(pool.features), self.groups, rng, gpu=True)[0]
        labels = np.empty(len(pool), dtype=np.int64)
        order, groups = np.argsort(pool.scores, kind="stable"), min(self.groups, len(pool))
        for group, rows in enumerate(np.array_split(order, groups)):
            labels[rows] = group
        return labels

    def _weights(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        sizes = np.bincount(labels)
        if self.quota == "uniform":
            return np.ones(len(sizes))
        if self.quota == "proportional":
            return sizes.astype(np.float64)
        means = np.bincount(labels, weights=scores) / np.maximum(sizes, 1)
        means[sizes == 0] = -np.inf
        rank = np.empty(len(sizes))
        rank[np.argsort(means, kind="stable")] = np.arange(1, len(sizes) + 1)
        return sizes * rank
