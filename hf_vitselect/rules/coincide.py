"""Few rows from dense clusters, many from clusters that resemble the others (COINCIDE, arXiv 2406.10995)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.clusters import UnitRows, kmeans, rows_by_label
from hf_vitselect.rules.quotas import group_quotas


@dataclass(frozen=True, kw_only=True)
class Coincide(Rule):
    """Rows that resemble their clusters, more from sparse and central ones (COINCIDE, arXiv 2406.10995).

    Rows are clustered by k-means. The quota of cluster i is proportional to `exp(S_i / (temperature * D_i))`.
    S_i is its transferability, the mean cosine of its centroid to the other centroids. D_i is its density,
    the mean Gaussian kernel `exp(-|x - y|**2)` over pairs of its unit rows x, y, or 1 for a single row.
    Inside a cluster, each pick is the row that lowers the maximum mean discrepancy (MMD) between the picks
    and the cluster most. Clusters are picked from in turn, in step with their quotas. A row's gain is the
    share of its cluster's rows that are picked.

    Unofficial re-implementation; differences in docs/papers.md.

    Args:
        rows_per_cluster: Average rows of a cluster, 1 or more; 66 is the paper's 665,000 rows in 10,000.
        temperature: Above 0; the lower, the more unequal the quotas.

    Examples:
        >>> features = np.array([[1, 0], [1, 0.1], [1, -0.1]], dtype=np.float32)
        >>> Coincide()(None, features, 1, np.random.default_rng(0), {})[0].tolist()
        [0]
    """

    uses_features = True
    uses_faiss = True

    rows_per_cluster: int = 66
    temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("rows_per_cluster", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)!r}")

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick each cluster's quota."""
        units = UnitRows(pool.features)
        labels, centroids = kmeans(units, max(1, len(units) // self.rows_per_cluster), rng, gpu=True)
        groups = rows_by_label(labels)
        kernel_sums = [_kernel_sums(units[rows].astype(np.float64)) for rows in groups]
        sizes = np.array([len(rows) for rows in groups])
        density = np.array([_density(sums) for sums in kernel_sums])
        centroids = centroids[: len(groups)].astype(np.float64)
        transferability = (centroids @ centroids.sum(axis=0) - 1) / max(1, len(centroids) - 1)
        exponent = transferability / (self.temperature * density)
        weights = np.where(sizes > 0, np.exp(exponent - exponent[sizes > 0].max()), 0.0)
        # The lightest clusters must stay above 0 to take what the others cannot give.
        quotas = group_quotas(labels, np.maximum(weights, 1e-300), pool, budget)
        chosen: list[NDArray[np.int64]] = []
        due: list[NDArray[np.float64]] = []
        for rows, sums, quota in zip(groups, kernel_sums, quotas.tolist(), strict=True):
            earlier = np.flatnonzero(np.isin(rows, pool.picked))
            new = _least_discrepancy(units[rows].astype(np.float64), sums, quota - len(earlier), earlier)
            chosen.append(rows[new])
            due.append((len(earlier) + np.arange(len(new)) + 0.5) / max(quota, 1))
        picks = np.concatenate(chosen)
        picks = picks[np.lexsort((picks, np.concatenate(due)))]
        return picks, (quotas / np.maximum(sizes, 1))[labels[picks]]


def _kernel(units: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian kernels of unit rows with one or several others, float64 `[..., n]`."""
    # |x - y|**2 = 2 - 2 x.y for unit rows.
    kernels: NDArray[np.float64] = np.exp(2 * np.einsum("...d,nd->...n", row, units) - 2)
    return kernels


def _kernel_sums(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of each row's kernels with all rows, float64 `[n]`; in blocks, so never n x n."""
    sums = [_kernel(units, units[block]).sum(axis=1) for block in blocks(len(units), 256)]
    return np.concatenate([np.empty(0), *sums])


def _density(kernel_sums: NDArray[np.float64]) -> float:
    """Mean kernel over pairs of different rows."""
    pairs = len(kernel_sums) * (len(kernel_sums) - 1)
    return float(kernel_sums.sum() - len(kernel_sums)) / pairs if pairs else 1.0


def _least_discrepancy(
    units: NDArray[np.float64], kernel_sums: NDArray[np.float64], count: int, earlier: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Pick rows greedily so that the squared MMD between all picks and all rows is least after each pick.

    With k(x, y) the kernel, n rows and a set P of m picks, the squared MMD is, up to a constant,
    `sum k(p, q) / m**2 - 2 * sum k(p, x) / (n * m)` over p, q in P and all rows x. Running sums make each
    pick one product of n x d. P starts with the `earlier` rows; `count` more are picked.
    """
    to_picks = np.zeros(len(units))  # of each row, sum of kernels with the picks
    among_picks, picks_to_all = 0.0, 0.0  # the two sums of the MMD
    left = np.ones(len(units), dtype=np.bool_)
    picks: list[int] = []
    for turn in range(len(earlier) + count):
        if turn < len(earlier):
            row = int(earlier[turn])
        else:
            size = turn + 1
            pairs = (among_picks + 2 * to_picks + 1) / size**2
            discrepancy = pairs - 2 * (picks_to_all + kernel_sums) / (len(units) * size)
            row = int(np.where(left, discrepancy, np.inf).argmin())
            picks.append(row)
        among_picks += 2 * to_picks[row] + 1
        picks_to_all += kernel_sums[row]
        to_picks += _kernel(units, units[row])
        left[row] = False
    return np.array(picks, dtype=np.int64)
