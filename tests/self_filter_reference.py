"""The naive loop of Self-Filter's second stage (arXiv 2402.12501), stable: slow, and right by reading."""

import numpy as np


def cosine_rows(features):
    """Yields, for a row, its cosines with all rows: float64 product and norms, rounded to float32."""
    wide = np.asarray(features, dtype=np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))

    def cosines(row):
        scale = norms * norms[row]
        return np.divide(wide @ wide[row], scale, out=np.zeros(len(wide)), where=scale > 0).astype(np.float32)

    return cosines


def reference_picks(scores, features, budget, *, gamma=1.0, neighbors=10):
    """Returns (rows, gains) in pick order, as lists."""
    current = dict(enumerate(np.asarray(scores, dtype=np.float64).tolist()))
    cosines = cosine_rows(features)
    picks, gains = [], []
    for _ in range(budget):
        row = min(current, key=lambda i: (-current[i], i))
        gain = current.pop(row)
        picks.append(row)
        gains.append(gain)
        to_row = cosines(row)
        # A stable sort of the falling cosines leaves equal ones in row order.
        nearest = (j for j in np.argsort(-to_row, kind="stable").tolist() if j in current)
        for _, j in zip(range(neighbors), nearest, strict=False):
            current[j] -= gain * float(to_row[j]) ** 2 * gamma
    return picks, gains
