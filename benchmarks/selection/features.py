"""Synthetic features that resemble CLIP's, and scores, from a seed."""

import numpy as np
from numpy.typing import NDArray

_STEP = 4096


def clip_like(
    rows: int, dim: int = 1536, *, seed: int = 0, decay: float = 0.5, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """A unit image half joined with a unit text half, of topics of about 40 rows.

    A row of a half is what all rows share, plus its topic's center, plus noise of its own. Two rows have a
    cosine of about 0.5, of the same topic 0.75. All parts have the spectrum that embeddings tend to have: the
    i-th of the dim / 2 directions has a standard deviation of i**-decay.

    Args:
        rows: How many.
        dim: Length of a row, even.
        seed: Of the random numbers.
        decay: 0 spreads everything over all directions evenly, which no embedding does.
        out: float32 ``[rows, dim]`` to write to, for instance memory-mapped.

    Returns:
        float32 ``[rows, dim]``, each half of length 1.
    """
    rng = np.random.default_rng(seed)
    out = np.empty((rows, dim), dtype=np.float32) if out is None else out
    scale = (np.arange(1, dim // 2 + 1) ** -decay).astype(np.float32)
    topics = [rng.standard_normal((max(1, rows // 40), dim // 2), dtype=np.float32) for _ in range(2)]
    shared = [2**0.5 * rng.standard_normal(dim // 2, dtype=np.float32) for _ in range(2)]
    for start in range(0, rows, _STEP):
        part = out[start : start + _STEP]
        topic = rng.integers(len(topics[0]), size=len(part))
        for half, common, centers in zip(np.split(part, 2, axis=1), shared, topics, strict=True):
            half[:] = (common + centers[topic] + rng.standard_normal(half.shape, dtype=np.float32)) * scale
            half /= np.linalg.norm(half, axis=1, keepdims=True)
    return out


def difficulties(rows: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Positive scores with a long tail, as losses have: float64 ``[rows]``."""
    return np.random.default_rng([seed, 1]).gamma(2.0, size=rows)
