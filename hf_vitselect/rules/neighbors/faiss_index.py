"""Candidates from a compressed index, for pools where exact products take too long."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.faiss_build import count_gpus, load_faiss

_BLOCK_ROWS = 2048
_TRAIN_ROWS = 2**14
_DIMENSIONS = 256
_WIDEST = 1024  # a GPU index finds up to 2,048


class FaissIndex:
    """Likely neighbors from a faiss index; some of the nearest rows may be missing.

    Unit rows are reduced to 256 dimensions by PCA, put into about sqrt(n) / 2 lists, half of which are
    searched, and coded in 64 bytes (product quantization, 4 bits for two dimensions). Small pools and short
    rows are kept as they are. Candidates are more than needed, since `RemainingNeighbors` re-scores them. If
    faiss sees a GPU, it is used, and holds the reduced rows instead of codes.

    The same seed gives the same index and, on the CPU, the same candidates for any number of threads. Memory
    beyond `features` is about 80 bytes a row, and 250 MiB while the index is trained.

    Attributes:
        error: None: nothing is known about the rows that are not proposed.
        block_rows: How many rows to ask `highest` for at once.
    """

    error: ClassVar[float | None] = None
    block_rows: ClassVar[int] = 256

    def __init__(
        self, features: NDArray[np.float32], norms: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        """Build the index of features, float32 `[n, d]`, with their `row_norms`; `rng` draws a sample."""
        self._features = features
        self._norms = norms
        rows, dim = features.shape
        faiss, gpu = load_faiss(), count_gpus() > 0
        self._index: Any
        if rows < _TRAIN_ROWS or dim <= _DIMENSIONS // 8:
            self._axes = np.eye(dim, dtype=np.float32)
            self._index = faiss.IndexFlatL2(dim)
        else:
            lists = math.isqrt(rows) // 2
            sample = np.sort(rng.choice(rows, size=min(rows, max(_TRAIN_ROWS, 40 * lists)), replace=False))
            with threadpool_limits(1, user_api="openmp"):  # so that faiss's sums have one order
                few = self._unit_rows(sample[:: len(sample) // _TRAIN_ROWS])
                self._axes = _principal_axes(few, min(_DIMENSIONS, dim // 2 * 2))
                reduced = self._axes.shape[1]
                kind = "Flat" if gpu else f"PQ{reduced // 2}x4fs"
                self._index = faiss.index_factory(reduced, f"IVF{lists},{kind}")
                parts = [self._reduced(sample[block]) for block in blocks(len(sample), _BLOCK_ROWS)]
                self._index.train(np.concatenate(parts))
            self._index.nprobe = max(1, lists // 2)
        if gpu:
            self._index = faiss.index_cpu_to_all_gpus(self._index)
        for block in blocks(rows, _BLOCK_ROWS):
            self._index.add(self._reduced(np.arange(block.start, block.stop)))

    def widths(self, neighbors: int) -> list[int]:
        """Return how many candidates to ask for: at first, and if they are too few."""
        rows = len(self._features)
        return [min(rows, max(64, 6 * neighbors + 4), _WIDEST), min(rows, _WIDEST)]

    def highest(self, rows: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find about the `width` nearest rows of each row, nearest first. See `Products.highest`."""
        distances, candidates = self._index.search(self._reduced(rows), width)
        return candidates, 1 - distances.astype(np.float64) / 2

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Do nothing: the index keeps all rows, and proposes enough."""

    def refine(self) -> bool:
        """Return False: the index cannot be made more accurate."""
        return False

    def _reduced(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._unit_rows(rows) @ self._axes

    def _unit_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        units = np.empty((len(rows), self._features.shape[1]), dtype=np.float32)
        for block in blocks(len(rows), _BLOCK_ROWS):
            units[block] = self._features[rows[block]] / self._norms[rows[block], None]
        return units


def _principal_axes(units: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The directions of highest variance, float32 `[d, count]`, orthonormal."""
    mean = units.mean(axis=0, dtype=np.float64)
    covariance = units.T @ units - len(units) * np.outer(mean, mean)
    _, axes = np.linalg.eigh(covariance.astype(np.float32))
    return np.ascontiguousarray(axes[:, : -count - 1 : -1])
