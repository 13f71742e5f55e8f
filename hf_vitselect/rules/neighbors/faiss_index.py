"""Candidates from a compressed index, for pools where exact products take too long."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_CHUNK_ROWS = 2048
_TRAIN_ROWS = 2**14
_DIMENSIONS = 256
_WIDEST = 1024  # a GPU index finds up to 2,048


class Index:
    """Proposes neighbours from a faiss index; some of the nearest may be missing.

    Unit rows are reduced to 256 dimensions by PCA, put into about sqrt(n) / 2 lists, half of which are
    searched, and coded in 64 bytes (product quantisation, 4 bits for two dimensions); small pools and short
    rows are kept as they are. What is found is generous, since `RemainingNeighbors` re-scores it. A GPU
    that faiss sees is used, with reduced rows in place of the codes.

    The same seed gives the same index and, on the CPU, the same candidates for any number of threads. Memory
    beyond `features` is about 80 bytes a row, and 250 MiB while the index is trained.

    Attributes:
        error: None: nothing is known about the rows that are not proposed.
        block_rows: How many rows `highest` should be asked for at once.
    """

    error: ClassVar[float | None] = None
    block_rows: ClassVar[int] = 256

    def __init__(
        self, features: NDArray[np.float32], norms: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        """Builds the index.

        Args:
            features: float32 `[n, d]`, finite, of any length; read by slices.
            norms: float64 `[n]`, with inf for zero rows.
            rng: Chooses the rows that the index is trained on.
        """
        import faiss

        self._features = features
        self._norms = norms
        rows, dim = features.shape
        gpu = faiss.get_num_gpus() > 0
        self._index: Any
        if rows < _TRAIN_ROWS or dim <= _DIMENSIONS // 8:
            self._axes = np.eye(dim, dtype=np.float32)
            self._index = faiss.IndexFlatL2(dim)
        else:
            lists = math.isqrt(rows) // 2
            sample = np.sort(rng.choice(rows, size=min(rows, max(_TRAIN_ROWS, 40 * lists)), replace=False))
            with _one_thread():
                few = self._unit_rows(sample[:: len(sample) // _TRAIN_ROWS])
                self._axes = _principal_axes(few, min(_DIMENSIONS, dim // 2 * 2))
                reduced = self._axes.shape[1]
                kind = "Flat" if gpu else f"PQ{reduced // 2}x4fs"
                self._index = faiss.index_factory(reduced, f"IVF{lists},{kind}")
                self._index.train(np.concatenate([self._reduced(part) for part in _parts(sample)]))
            self._index.nprobe = max(1, lists // 2)
        if gpu:
            self._index = faiss.index_cpu_to_all_gpus(self._index)
        for part in _parts(np.arange(rows)):
            self._index.add(self._reduced(part))

    def widths(self, neighbors: int) -> list[int]:
        """How many candidates to ask for, at first and where they turn out to be too few."""
        rows = len(self._features)
        return [min(rows, max(64, 6 * neighbors + 4), _WIDEST), min(rows, _WIDEST)]

    def highest(self, rows: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Finds about the `width` nearest rows of each, nearest first. See `Products.highest`."""
        distances, found = self._index.search(self._reduced(rows), width)
        return found, 1 - distances.astype(np.float64) / 2

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Does nothing: the index keeps all rows, and proposes enough."""

    def sharpen(self) -> bool:
        """Cannot."""
        return False

    def _reduced(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._unit_rows(rows) @ self._axes

    def _unit_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        units = np.empty((len(rows), self._features.shape[1]), dtype=np.float32)
        for start, part in enumerate(_parts(rows)):
            units[start * _CHUNK_ROWS :][: len(part)] = self._features[part] / self._norms[part, None]
        return units


def _parts(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + _CHUNK_ROWS] for start in range(0, len(rows), _CHUNK_ROWS))


def _principal_axes(units: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The directions in which rows differ most, float32 `[d, count]`, orthonormal."""
    mean = units.mean(axis=0, dtype=np.float64)
    spread = units.T @ units - len(units) * np.outer(mean, mean)
    _, axes = np.linalg.eigh(spread.astype(np.float32))
    return np.ascontiguousarray(axes[:, : -count - 1 : -1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Trains on one thread, so that sums have one order."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
