"""The spread of a subset, compared with that of a random subset of the same size."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.clusters import unit_rows

_SAMPLE = 2000


def diversity(features: NDArray[np.float32], picked: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Measure how spread out a subset is, and a random one under the same names with `_random` appended.

    Figures are over samples of at most 2,000 rows, so that large selections stay cheap.

    Args:
        features: float32 of shape (rows, dimensions), of every row that could be picked.
        picked: int64 of shape (picked,), rows of `features`.
        seed: Of the random subset and of the samples.

    Returns:
        `mean_nearest_cosine`, the mean cosine of a row of the subset to the nearest other one (lower is more
        diverse), and `coverage_radius`, the largest distance, 1 - cosine, of a row of the pool to the nearest
        row of the subset (lower covers more).
    """
    rng = np.random.default_rng(seed)
    random = rng.choice(len(features), size=len(picked), replace=False)
    subsets = {"": np.sort(picked), "_random": np.sort(random)}
    samples = {
        name: rng.choice(len(rows), size=min(len(rows), _SAMPLE), replace=False)
        for name, rows in subsets.items()
        if len(rows) > 1
    }
    pool = rng.choice(len(features), size=min(len(features), _SAMPLE), replace=False)
    figures = {}
    for name, rows in subsets.items():
        sample = samples.get(name, np.zeros(0, dtype=np.int64))
        inside, outside = _nearest(features, rows, sample, pool)
        figures[f"mean_nearest_cosine{name}"] = round(float(inside.mean()), 6) if len(sample) else 0.0
        figures[f"coverage_radius{name}"] = round(1.0 - float(outside.min()), 6)
    return figures


def _nearest(
    features: NDArray[np.float32],
    rows: NDArray[np.int64],
    sample: NDArray[np.int64],
    pool: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines to the nearest of `rows`: of `rows[sample]` to the nearest other one, and of the pool."""
    queries = unit_rows(features[np.concatenate([rows[sample], pool])])
    nearest = np.full(len(queries), -1.0, dtype=np.float32)
    for start in range(0, len(rows), _SAMPLE):
        block = queries @ unit_rows(features[rows[start : start + _SAMPLE]]).T
        itself = np.flatnonzero((sample >= start) & (sample < start + _SAMPLE))
        block[itself, sample[itself] - start] = -1.0
        nearest = np.maximum(nearest, block.max(axis=1))
    return nearest[: len(sample)].astype(np.float64), nearest[len(sample) :].astype(np.float64)
