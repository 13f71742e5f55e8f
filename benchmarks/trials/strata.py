"""The difference between two methods over several pools."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_vitselect.evaluation import Difference
from hf_vitselect.evaluation.statistics import LEVEL, bootstrap, degrees_of_freedom


def stratified(
    scores: Sequence[NDArray[np.float64]], others: Sequence[NDArray[np.float64]], comparisons: int = 1
) -> Difference | None:
    """Compare two methods' mean scores over pools, with an interval for other seeds and held-out rows.

    Pools are strata: each has its own models and its own held-out rows, so that its noise is independent of
    the others'. The variance of the mean over pools is the sum of the variances inside pools, as `compare`
    finds them, over the square of the number of pools. So do the degrees of freedom add up: about 12 with
    three seeds in each of three pools.

    Args:
        scores: for each pool, float64 of shape (seeds, rows).
        others: scores of the method to compare with; inside a pool the same rows.
        comparisons: number of verdicts to correct for (Bonferroni).

    Returns:
        The difference; None where a pool has fewer than two seeds of either method.
    """
    rng = np.random.default_rng(0)
    gains, parts = [], []
    for method, other in zip(scores, others, strict=True):
        degrees = degrees_of_freedom(method, other)
        if degrees is None:
            return None
        gains.append(method.mean() - other.mean())
        parts.append((bootstrap(method, other, rng).var(ddof=1), degrees))
    mean, reach = float(np.mean(gains)), 0.0
    level = 1 - (1 - LEVEL) / comparisons
    if variance := sum(part for part, _ in parts):  # 0 where two methods give equal answers
        degrees = variance**2 / sum(part**2 / degrees for part, degrees in parts)
        reach = float(stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(variance) / len(gains))
    return Difference(mean, mean - reach, mean + reach, level, rows_p=None)
