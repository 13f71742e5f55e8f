"""Necessity-based grouped sampling: every group of rows gives its share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.clusters import kmeans, numbered, unit_rows
from hf_vitselect.rules.quotas import quotas, take


@dataclass(frozen=True, kw_only=True)
class GroupedSampling(Rule):
    """Quotas for groups of rows, MLLM-Selector's second stage (arXiv 2503.20502), a re-implementation.

    The paper's text on its necessity-based grouped sampling could not be read: what the groups are, how
    many, and how a group's rows are drawn is not known. The readings that its abstract allows are options
    here, to be compared; by default rows are cut into ten quantiles of necessity, more necessary ones give
    more rows, and rows inside one are drawn at random.

    Quotas are exact shares of the budget, rounded by largest remainder. A group with fewer rows than its
    share gives all of them and hands the rest on to the others. Which rows a group would give next depends
    on the seed, not on the budget: a smaller subset is inside a larger one wherever no group's quota
    shrinks, which holds if the larger budget is at least twice the smaller and that one gives every group
    a share of at least one row.

    Rows are picked in turn from all groups, in step with their quotas.

    Attributes:
        groups: A number is that many equal-sized quantiles of the score, or clusters if `cluster` is set;
            a name is a column whose values are the groups, such as the rows' source or task.
        cluster: Whether the groups are k-means clusters of the unit features (faiss, 20 iterations).
        quota: How the budget is shared: `"uniform"`, the same for every group; `"proportional"` to its
            rows; `"rising"`, its rows times its rank by mean score, 1 for the lowest.
        within: `"random"` or `"necessity"`, highest score first.

    Raises:
        ValueError: If a parameter is none of these.

    Example:
        >>> scores = np.array([0.1, 0.9, 0.2, 0.8])
        >>> rule = GroupedSampling(groups=2, quota="uniform", within="necessity")
        >>> rows, gains = rule(scores, None, 2, np.random.default_rng(0), {})
        >>> rows.tolist(), gains.tolist()
        ([1, 2], [0.9, 0.2])
    """

    uses_scores: ClassVar[bool] = True

    groups: int | str = 10
    cluster: bool = False
    quota: Literal["uniform", "proportional", "rising"] = "rising"
    within: Literal["random", "necessity"] = "random"

    def __post_init__(self) -> None:
        number = isinstance(self.groups, int) and not isinstance(self.groups, bool)
        if not (number and self.groups >= 1) and not (isinstance(self.groups, str) and self.groups):  # type: ignore[operator]
            raise ValueError(f"groups: expected a number from 1 or a column's name, got {self.groups!r}")
        if self.cluster and not number:
            raise ValueError(f"groups: expected the number of clusters, got {self.groups!r}")
        for name, choices in (
            ("quota", ("uniform", "proportional", "rising")),
            ("within", ("random", "necessity")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")

    @property
    def uses_features(self) -> bool:  # type: ignore[override]
        """Only clusters need features."""
        return self.cluster

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The column that names the groups, if one does."""
        return (self.groups,) if isinstance(self.groups, str) else ()

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, each group's quota less what it has in `picked`. See `Rule.__call__`."""
        scores = required(scores, "scores", self)
        # Drawn before anything depends on the budget.
        draw = rng.permutation(len(scores)) if self.within == "random" else -scores
        labels = self._labels(scores, features, rng, columns)
        count = int(labels.max()) + 1
        sizes = np.bincount(labels, minlength=count)
        given = np.bincount(labels[picked], minlength=count)
        share = quotas(sizes, self._weights(scores, labels, sizes), len(picked) + budget, given)
        picks = take(labels, share, draw, -scores, picked)
        return picks, scores[picks]

    def _labels(
        self,
        scores: NDArray[np.float64],
        features: NDArray[np.float32] | None,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
    ) -> NDArray[np.int64]:
        """The group of every row, numbered from 0."""
        if isinstance(self.groups, str):
            return numbered(columns[self.groups])
        if self.cluster:
            return kmeans(unit_rows(required(features, "features", self)), self.groups, rng)[0]
        labels = np.empty(len(scores), dtype=np.int64)
        for group, rows in enumerate(np.array_split(np.argsort(scores, kind="stable"), self.groups)):
            labels[rows] = group
        return labels

    def _weights(
        self, scores: NDArray[np.float64], labels: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        if self.quota == "uniform":
            return np.ones(len(sizes))
        if self.quota == "proportional":
            return sizes.astype(np.float64)
        means = np.bincount(labels, weights=scores, minlength=len(sizes)) / np.maximum(sizes, 1)
        means[sizes == 0] = -np.inf
        rank = np.empty(len(sizes))
        rank[np.argsort(means, kind="stable")] = np.arange(1, len(sizes) + 1)
        return sizes * rank
