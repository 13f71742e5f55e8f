"""Necessity-based grouped sampling: every group of rows gives its share."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule


@dataclass(frozen=True, kw_only=True)
class GroupedSampling(Rule):
    """MLLM-Selector's second stage (arXiv 2503.20502), a re-implementation.

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
        groups: A number is that many equal-sized quantiles of the score, or clusters if ``cluster`` is set;
            a name is a column whose values are the groups, such as the rows' source or task.
        cluster: Whether the groups are k-means clusters of the unit features (faiss, 20 iterations).
        quota: How the budget is shared: ``"uniform"``, the same for every group; ``"proportional"`` to its
            rows; ``"rising"``, its rows times its rank by mean score, 1 for the lowest.
        within: ``"random"`` or ``"necessity"``, highest score first.

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
        """Picks ``budget`` rows, each group's quota less what it has in ``picked``. See ``Rule.__call__``."""
        if scores is None:
            raise ValueError("GroupedSampling expected scores, got none; add that column")
        # Drawn before anything depends on the budget.
        draw = rng.permutation(len(scores)) if self.within == "random" else -scores
        labels = self._labels(scores, features, rng, columns)
        count = int(labels.max()) + 1
        sizes = np.bincount(labels, minlength=count)
        given = np.bincount(labels[picked], minlength=count)
        share = quotas(sizes, self._weights(scores, labels, sizes), len(picked) + budget, given)
        old = np.isin(np.arange(len(scores)), picked)
        order = np.lexsort((np.arange(len(scores)), draw, ~old, labels))
        place = np.empty(len(scores), dtype=np.int64)  # of a row in its group
        place[order] = np.arange(len(scores)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        taken = np.flatnonzero((place < share[labels]) & ~old)
        step = (place[taken] + 0.5) / share[labels[taken]]
        picks = taken[np.lexsort((taken, -scores[taken], step))]
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
            numbers: dict[object, int] = {}
            values = columns[self.groups].tolist()
            return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
        if self.cluster:
            if features is None:
                raise ValueError("GroupedSampling(cluster=True) expected features, got none; add that column")
            return _clusters(features, min(self.groups, len(features)), int(rng.integers(2**31)))
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


def quotas(
    sizes: NDArray[np.int64],
    weights: NDArray[np.float64],
    budget: int,
    given: NDArray[np.int64] | int = 0,
) -> NDArray[np.int64]:
    """Shares a budget among groups by weight, exactly, none more than it has or less than it was given.

    Args:
        sizes: int64 ``[groups]``, rows of each group, 0 or more.
        weights: float64 ``[groups]``, above 0 wherever there are rows.
        budget: from the sum of ``given`` to the sum of the sizes.
        given: int64 ``[groups]``, rows of each group that are in the subset already.

    Returns:
        int64 ``[groups]``, adding up to the budget: largest remainder, ties to the first group.
    """
    share = np.zeros(len(sizes), dtype=np.int64)
    some = sizes > 0
    most, weight = sizes[some], weights[some]
    least = np.broadcast_to(given, sizes.shape)[some]
    # A level gives each group so many rows for its weight, within its bounds; between two levels at which a
    # bound is met, the same groups are free.
    levels = np.unique(np.concatenate([[0.0], least / weight, most / weight]))
    upper = max(1, bisect_left(levels, budget, key=lambda level: np.clip(level * weight, least, most).sum()))
    upper = min(upper, len(levels) - 1)
    exact = np.where(least / weight >= levels[upper], least, most).astype(np.float64)
    free = (least / weight < levels[upper]) & (most / weight > levels[upper - 1])
    exact[free] = (budget - exact[~free].sum()) * weight[free] / weight[free].sum()
    whole = np.floor(exact).astype(np.int64)
    remainders = np.where(free, exact - whole, -1.0)
    whole[np.argsort(-remainders, kind="stable")[: budget - int(whole.sum())]] += 1
    share[some] = whole
    return share


def _clusters(features: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """K-means of unit rows on one thread: with several, sums and so clusters could differ."""
    import faiss
    from threadpoolctl import threadpool_limits

    units = np.array(features, dtype=np.float32, order="C")
    faiss.normalize_L2(units)
    with threadpool_limits(1):
        kmeans = faiss.Kmeans(units.shape[1], count, niter=20, seed=seed, spherical=True)
        kmeans.cp.min_points_per_centroid = 1
        kmeans.train(units)
        _, labels = kmeans.index.search(units, 1)
    return labels[:, 0].astype(np.int64)
