"""Is one method better than another? Pure functions on the scores of fine-tuned models.

The scores of a method are float64 of shape (seeds, rows): one model per seed and its score of each held-out
row, the same rows for all models. Shape (seeds,) is one score per model; then only the seeds show the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
REPLICATES = 2000
_MOST_DEVIATE = 38.0  # beyond it a normal tail is 0 in float64
_BLOCK = 100  # replicates at a time: 100 x rows counts are in memory


@dataclass(frozen=True)
class Difference:
    """Difference of one method from another.

    Attributes:
        mean: difference of the mean scores.
        low: lower end of the confidence interval; minus infinity if the noise is unknown.
        high: upper end of the confidence interval.
        level: of the interval, in (0, 1).
        rows_p: p-value of the paired t-test over held-out rows, on each row's score averaged over seeds: do
            these very models differ on other questions of this kind? It says nothing about other seeds.
            None without scores per row.
        z: the normal deviate with the p-value of the mean under the interval's statistics; None if the noise
            is unknown.
    """

    mean: float
    low: float
    high: float
    level: float
    rows_p: float | None
    z: float | None = None

    @property
    def verdict(self) -> Literal["better", "worse", "not distinguishable"]:
        """`better`, `worse`, or `not distinguishable` if the interval contains zero."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not distinguishable"


def difference(
    scores: NDArray[np.float64],
    others: NDArray[np.float64],
    *,
    comparisons: int = 1,
    level: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Difference:
    """Compare two methods' mean scores, with an interval for other seeds and other held-out rows.

    The interval is the difference plus and minus t times its standard error. The error is the standard
    deviation of a bootstrap over rows and seeds (`bootstrap`). t is the quantile of Student's distribution
    with Satterthwaite's degrees of freedom: about 4 with three seeds per method, so that t is 2.8 and not 2.
    Each of several comparisons gets the level `1 - (1 - LEVEL) / comparisons` (Bonferroni): the family-wise
    false-positive rate is at most `1 - LEVEL`.

    Args:
        scores: shape (seeds, rows) or (seeds,).
        others: scores of the method to compare with, shape (other seeds, rows) or (other seeds,), same rows.
        comparisons: number of verdicts in the same table.
        level: of the interval, in (0, 1), in place of the one that `comparisons` gives.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The difference. Its interval is unbounded for a single seed, and for single scores per model that do
        not vary at all.
    """
    if scores.ndim not in (1, 2) or scores.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"expected scores of shape (seeds, rows) or (seeds,), of the same rows, got {scores.shape} and "
            f"{others.shape}"
        )
    by_rows = scores.ndim == 2
    rows_p = _rows_p(scores, others) if by_rows else None
    level = 1 - (1 - LEVEL) / comparisons if level is None else level
    if not by_rows:
        scores, others = scores[:, None], others[:, None]
    mean = float(scores.mean() - others.mean())
    degrees = _degrees_of_freedom(scores, others)
    if degrees is None:
        return Difference(mean, -np.inf, np.inf, level, rows_p)
    error = bootstrap(scores, others, np.random.default_rng(seed), replicates).std(ddof=1)
    reach = float(stats.t.ppf((1 + level) / 2, degrees) * error)
    z = _deviate(mean, error, degrees)
    return Difference(mean, mean - reach, mean + reach, level, rows_p, z)


def pooled_difference(
    scores: Sequence[NDArray[np.float64]],
    others: Sequence[NDArray[np.float64]],
    *,
    comparisons: int = 1,
    replicates: int = REPLICATES,
) -> Difference | None:
    """Compare two methods on several pools, each with its own models and held-out rows.

    Pools are strata: their noise is independent, and how much they differ from each other is no noise. The
    variance of the mean over pools is the sum of the variances inside pools, as `difference` finds them,
    over the square of the number of pools. Satterthwaite's degrees of freedom count all pools: about 12 with
    three seeds in each of three.

    Args:
        scores: for each pool, float64 of shape (seeds, rows).
        others: scores of the method to compare with, for each pool; inside a pool the same rows.
        comparisons: number of verdicts in the same table.
        replicates: of the bootstrap.

    Returns:
        The difference of the means over pools, without `rows_p` and `z`; None if a pool has fewer than two
        seeds of either method.
    """
    if not len(scores):
        raise ValueError("expected scores of one pool or more, got none")
    rng = np.random.default_rng(0)
    gains, parts = [], []
    for method, other in zip(scores, others, strict=True):
        degrees = _degrees_of_freedom(method, other)
        if degrees is None:
            return None
        gains.append(method.mean() - other.mean())
        parts.append((bootstrap(method, other, rng, replicates).var(ddof=1), degrees))
    mean, reach, level = float(np.mean(gains)), 0.0, 1 - (1 - LEVEL) / comparisons
    if variance := sum(part for part, _ in parts):  # 0 where both methods give equal answers
        degrees = variance**2 / sum(part**2 / of_pool for part, of_pool in parts)
        reach = float(stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(variance) / len(gains))
    return Difference(mean, mean - reach, mean + reach, level, rows_p=None)


def _deviate(mean: float, error: float, degrees: float) -> float:
    if error == 0:  # no noise at all: equal methods, or a difference beyond doubt
        return 0.0 if mean == 0 else float(np.copysign(_MOST_DEVIATE, mean))
    tail = stats.t.sf(abs(mean) / error, degrees)
    return float(np.copysign(min(stats.norm.isf(tail), _MOST_DEVIATE), mean))


def bootstrap(
    scores: NDArray[np.float64],
    others: NDArray[np.float64],
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> NDArray[np.float64]:
    """Resamples the difference of the mean scores over held-out rows and seeds.

    A replicate draws rows with replacement, the same for all models because all answer the same rows. It
    takes each model's mean over them, draws seeds of either method with replacement, and subtracts the means.
    A seed's deviation from its method's mean is stretched by sqrt(n / (n - 1)) for n seeds, because n draws
    from n seeds vary less than the seeds do.

    Scores have shape (seeds, rows) with at least two seeds; the result is float64 of shape (replicates,).
    """
    rows = scores.shape[1]
    differences = []
    for start in range(0, replicates, _BLOCK):
        block = min(_BLOCK, replicates - start)
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=block) / rows
        means = [_resampled_mean(weights @ method.T, rng) for method in (scores, others)]
        differences.append(means[0] - means[1])
    return np.concatenate(differences)


def _resampled_mean(models: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means over seeds drawn with replacement for each replicate, from shape (replicates, seeds)."""
    replicates, seeds = models.shape
    center = models.mean(axis=1)
    drawn = np.take_along_axis(models, rng.integers(seeds, size=(replicates, seeds)), axis=1).mean(axis=1)
    result: NDArray[np.float64] = center + (drawn - center) * np.sqrt(seeds / (seeds - 1))
    return result


def _degrees_of_freedom(scores: NDArray[np.float64], others: NDArray[np.float64]) -> float | None:
    """Satterthwaite's, from the variances of both methods' seeds and of rows; None if they are unknown."""
    if min(len(scores), len(others)) < 2:
        return None
    parts = [(method.mean(axis=1).var(ddof=1) / len(method), len(method) - 1) for method in (scores, others)]
    if scores.shape[1] > 1:
        gains = scores.mean(axis=0) - others.mean(axis=0)
        parts.append((gains.var(ddof=1) / len(gains), len(gains) - 1))
    total = sum(variance for variance, _ in parts)
    weights = sum(variance**2 / degrees for variance, degrees in parts)
    if total == 0:
        # Methods with equal scores on every row are equal; equal single scores may have been rounded.
        return float(len(scores) + len(others) - 2) if scores.shape[1] > 1 else None
    return float(total**2 / weights)


def _rows_p(scores: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    gains = scores.mean(axis=0) - others.mean(axis=0)
    if len(gains) < 2 or gains.std() == 0:  # the t statistic is 0 / 0 or infinite
        return 1.0 if not gains.any() else 0.0
    return float(stats.ttest_1samp(gains, 0.0).pvalue)
