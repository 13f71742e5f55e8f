"""Clusters that are dense give less, those like others give more (COINCIDE, arXiv 2406.10995)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, required
from hf_vitselect.rules.clusters import kmeans, members, unit_rows
from hf_vitselect.rules.quotas import quotas


@dataclass(frozen=True, kw_only=True)
class Coincide(Rule):
    """COINCIDE (arXiv 2406.10995): cluster shares by transferability and density, then the least discrepancy.

    A re-implementation from digests; the formulas are from memory of the paper and were not read again. Rows
    are clustered by k-means. A cluster's share rises with `exp(S / (temperature * D))`, where S is the mean
    cosine of its centroid to the other centroids and D its density, the mean Gaussian kernel `exp(-|x -
    y|^2)` of its pairs of unit rows (1 for a single row). Inside a cluster rows are picked one after the
    other so that the maximum mean discrepancy (MMD) between picks and cluster falls most.

    The paper clusters the activations of five layers of a small model, concatenated, into 10,000 groups; here
    the features are whatever column is given. Picks come cluster by cluster, in step with their shares, and
    every gain is the share of the cluster's rows that are picked.

    Attributes:
        rows_per_cluster: Rows for each cluster, on average; 66 is the paper's 665,000 rows in 10,000.
        temperature: The lower, the more unequal the shares.

    Raises:
        ValueError: If a parameter is not above 0.

    Example:
        >>> features = np.array([[1, 0], [1, 0.1], [1, -0.1]], dtype=np.float32)
        >>> Coincide()(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [0]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = True

    rows_per_cluster: int = 66
    temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("rows_per_cluster", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)!r}")

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, each cluster's quota. See `Rule.__call__`."""
        units = unit_rows(required(features, "features", self))
        labels, centroids = kmeans(units, max(1, len(units) // self.rows_per_cluster), rng)
        groups = members(labels)
        kernels = [_sums_of_kernels(units[rows].astype(np.float64)) for rows in groups]
        sizes = np.array([len(rows) for rows in groups])
        some = sizes > 0
        density = np.array([_density(sums) for sums in kernels])
        exponent = _mean_cosine_to_others(centroids[: len(groups)]) / (self.temperature * density)
        weights = np.where(some, np.exp(exponent - exponent[some].max()), 0.0)
        given = np.bincount(labels[picked], minlength=len(groups))
        # The lightest clusters must stay above 0 to take what the others cannot give.
        share = quotas(sizes, np.maximum(weights, 1e-300), len(picked) + budget, given)
        chosen: list[NDArray[np.int64]] = []
        steps: list[NDArray[np.float64]] = []
        for rows, sums, quota in zip(groups, kernels, share.tolist(), strict=True):
            first = np.flatnonzero(np.isin(rows, picked))
            new = _least_discrepancy(units[rows].astype(np.float64), sums, quota - len(first), first)
            chosen.append(rows[new])
            steps.append((len(first) + np.arange(len(new)) + 0.5) / max(quota, 1))
        picks, step = np.concatenate(chosen), np.concatenate(steps)
        picks = picks[np.lexsort((picks, step))]
        return picks, (share / np.maximum(sizes, 1))[labels[picks]]


def _kernel(units: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian kernels of unit rows with one or several others, float64 `[..., n]`."""
    kernels: NDArray[np.float64] = np.exp(2 * np.einsum("...d,nd->...n", row, units) - 2)
    return kernels


def _sums_of_kernels(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of every row's kernels with all rows, float64 `[n]`; by blocks, so never n x n."""
    blocks = [_kernel(units, units[start : start + 256]).sum(axis=1) for start in range(0, len(units), 256)]
    return np.concatenate([np.empty(0), *blocks])


def _density(sums: NDArray[np.float64]) -> float:
    """The mean kernel of the pairs of different rows."""
    pairs = len(sums) * (len(sums) - 1)
    return float(sums.sum() - len(sums)) / pairs if pairs else 1.0


def _mean_cosine_to_others(centroids: NDArray[np.float32]) -> NDArray[np.float64]:
    total = centroids.sum(axis=0, dtype=np.float64)
    to_all: NDArray[np.float64] = centroids.astype(np.float64) @ total
    others: NDArray[np.float64] = (to_all - 1) / max(1, len(centroids) - 1)
    return others


def _least_discrepancy(
    units: NDArray[np.float64], sums: NDArray[np.float64], count: int, first: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Greedily picks rows so that the squared MMD between all picks and all rows is least at every step.

    Args:
        units: float64 `[n, d]`.
        sums: float64 `[n]`, of each row's kernels with all rows.
        count: How many to pick.
        first: Rows that are picked already.
    """
    inside, own, with_all = np.zeros(len(units)), 0.0, 0.0  # kernels with picks; among picks; picks with all
    left = np.ones(len(units), dtype=np.bool_)
    picks: list[int] = []
    for turn in range(len(first) + count):
        if turn < len(first):
            row = int(first[turn])
        else:
            size = turn + 1
            discrepancy = (own + 2 * inside + 1) / size**2 - 2 * (with_all + sums) / (len(units) * size)
            row = int(np.where(left, discrepancy, np.inf).argmin())
            picks.append(row)
        own += 2 * inside[row] + 1
        with_all += sums[row]
        inside += _kernel(units, units[row])
        left[row] = False
    return np.array(picks, dtype=np.int64)
