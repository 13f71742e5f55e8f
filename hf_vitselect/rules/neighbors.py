"""Exact nearest neighbours among rows that leave one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 256  # queries of one product at most: float32 products gain little beyond
_FEWEST_ROWS = 8
_CHUNK_ROWS = 8192  # columns of one product: with 256 queries 8 MiB, which stays in the cache
_CHUNK_VALUES = 2**21  # float64 values that are held at once: 16 MiB
_LIST_ENTRIES = 2**23  # neighbours that all lists hold together, 12 bytes each


class RemainingNeighbors:
    """The nearest remaining rows of each row that leaves, by cosine, exactly.

    The cosine of two rows is the float64 dot product over the float64 norms, rounded to float32, and 0 where
    a row is zero. Nearest means highest cosine, then lowest row.

    How: float32 products of unit rows propose candidates, the definition above orders them, and a bound on
    the products' error proves how far that order can be trusted. One product of a block of rows makes a
    *list* for each: a prefix of that row's order of all rows that remained then. Rows only ever leave, so
    what is left of a prefix is a prefix of what is left of the order, and the list stays good until fewer
    than ``neighbors`` of its rows remain. A block is the popped row and the unlisted rows that are likely to
    be popped next; where the guess was bad the next block is smaller.

    The certificate: let p be the float32 product of two unit rows, c their cosine as defined, u = 2**-24 and
    g(m) = m u / (1 - m u). Rounding each unit row costs a factor 1 + u per value, summing d products in any
    order a factor 1 + g(d), and rounding c another 1 + u; all act on terms whose absolute values sum to at
    most 1, by Cauchy-Schwarz. So abs(p - c) <= g(d + 4), with one spare factor for the float64 part and for
    underflow. If b is the lowest product among a row's candidates, then every other row has c <= b + g(d +
    4), and candidates strictly above that bound precede it. If this proves too few of them, the row's
    candidates grow eightfold until it proves enough, at the latest when they are all the rows.

    Time is about one product of d x n a pop. Memory beyond ``features`` is one unit-length float32 copy (on
    the GPU if there is one), at most about 200 MiB of lists, and up to 100 MiB of buffers; never n x n, nor a
    block x n. ``features`` itself is only read, by slices and by single rows, so it may be memory-mapped.
    """

    def __init__(self, features: NDArray[np.float32], neighbors: int, *, pops: int) -> None:
        """Makes the unit rows.

        Args:
            features: float32 ``[n, d]``, finite, of any length.
            neighbors: How many neighbours a pop wants, 1 or more.
            pops: How many pops will come, 1 to n; no block is larger than what is left of them.

        Raises:
            ValueError: If a feature is not finite.
        """
        import torch

        self._features = np.asarray(features)
        rows, dim = self._features.shape
        self._neighbors = neighbors
        self._norms, unit = _norms_and_units(self._features)
        self._units = torch.from_numpy(unit).to("cuda" if torch.cuda.is_available() else "cpu")
        roundoff = (dim + 4) * 2.0**-24
        self._error = roundoff / (1 - roundoff)

        self._remaining = np.ones(rows, dtype=np.bool_)
        self._left = rows
        self._lists: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        self._width = min(rows, max(16, 3 * neighbors + 2))
        self._most_rows = max(1, min(_BLOCK_ROWS, _LIST_ENTRIES // 4 // self._width))
        self._pops_left = pops
        self._pops_since_block = 0

    def pop(self, row: int, priority: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Removes a row and finds its nearest remaining rows.

        Args:
            row: A row that remains.
            priority: float64 ``[n]``; rows with higher values are expected to be popped sooner. It changes
                the speed, never the answer.

        Returns:
            The ``neighbors`` nearest remaining rows, or all that remain if they are fewer, nearest first,
            int64 ``[m]``, and their cosines, float32 ``[m]``.
        """
        self._remaining[row] = False
        self._left -= 1
        wanted = min(self._neighbors, self._left)
        near, cosines = self._take_list(row)
        width = self._width
        while len(near) < wanted:
            self._make_lists(self._block(row, priority) if width == self._width else np.array([row]), width)
            near, cosines = self._take_list(row)
            width = min(8 * width, len(self._remaining))
        self._pops_left -= 1
        self._pops_since_block += 1
        return near[:wanted], cosines[:wanted]

    def _take_list(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        near, cosines = self._lists.pop(row, (np.empty(0, np.int64), np.empty(0, np.float32)))
        still = self._remaining[near]
        return near[still], cosines[still]

    def _block(self, row: int, priority: NDArray[np.float64]) -> NDArray[np.int64]:
        """Chooses the rows to list now: ``row``, and those that are likely to follow it."""
        # A block is worth the pops that it serves. Negative scores, which lift unforeseen rows, make few.
        size = min(max(2 * self._pops_since_block, _FEWEST_ROWS), self._most_rows, self._pops_left)
        self._pops_since_block = 0
        unlisted = self._remaining.copy()
        unlisted[list(self._lists)] = False
        others = np.flatnonzero(unlisted)
        if len(others) >= size:
            others = others[np.argpartition(-priority[others], size - 1)[: size - 1]]
        return np.append(row, others)

    def _make_lists(self, rows: NDArray[np.int64], width: int) -> None:
        if (len(self._lists) + len(rows)) * self._width > _LIST_ENTRIES:
            self._lists.clear()
        candidates, lowest = self._propose(rows, width)
        for row, near, bound in zip(rows.tolist(), candidates, lowest + self._error, strict=True):
            near = near[self._remaining[near]]
            cosines = self._cosines(row, near)
            order = np.lexsort((near, -cosines))
            proven = order[: np.count_nonzero(cosines > bound)]
            self._lists[row] = near[proven], cosines[proven]

    def _propose(self, rows: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Finds each row's ``width`` highest products.

        Args:
            rows: int64 ``[b]``.
            width: 1 to n.

        Returns:
            The rows with those products, int64 ``[b, width]``, removed ones among them only if fewer than
            ``width`` remain; and a bound on the products of all others, float64 ``[b]``, -inf if no others
            remain.
        """
        import torch

        device = self._units.device
        removed = torch.from_numpy(np.where(self._remaining, np.float32(0), np.float32(-np.inf))).to(device)
        query = self._units[torch.from_numpy(rows).to(device)]
        values = torch.empty((len(rows), 0), device=device)
        found = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
        with _full_precision(device.type):
            for start in range(0, len(removed), _CHUNK_ROWS):
                chunk = slice(start, start + _CHUNK_ROWS)
                products = torch.addmm(removed[chunk], query, self._units[chunk].T)
                best = products.topk(min(width, products.shape[1]))
                values = torch.cat([values, best.values], dim=1)
                found = torch.cat([found, best.indices + start], dim=1)
                best = values.topk(min(width, values.shape[1]))
                values, found = best.values, found.gather(1, best.indices)
        if width >= self._left:
            return found.cpu().numpy(), np.full(len(rows), -np.inf)
        return found.cpu().numpy(), values[:, -1].cpu().numpy().astype(np.float64)

    def _cosines(self, row: int, others: NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosines of one row with others, int64 ``[m]``, by the definition: float32 ``[m]``."""
        query = self._features[row].astype(np.float64)
        cosines = np.empty(len(others), dtype=np.float32)
        step = max(1, _CHUNK_VALUES // len(query))
        for start in range(0, len(others), step):
            part = others[start : start + step]
            # einsum sums each row in one fixed order; BLAS may not, and equal rows must tie.
            dots = np.einsum("nd,d->n", self._features[part].astype(np.float64, order="C"), query)
            cosines[start : start + step] = dots / (self._norms[part] * self._norms[row])
        return cosines


def _norms_and_units(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Norms, float64 ``[n]``, with inf for zero rows so that their cosines are 0; unit rows, float32."""
    rows, dim = features.shape
    norms = np.empty(rows, dtype=np.float64)
    units = np.empty((rows, dim), dtype=np.float32)
    step = max(1, _CHUNK_VALUES // dim)
    for start in range(0, rows, step):
        chunk = slice(start, start + step)
        values = features[chunk].astype(np.float64, order="C")
        norms[chunk] = np.sqrt(np.einsum("nd,nd->n", values, values))
        if not np.isfinite(norms[chunk]).all():
            bad = start + int(np.flatnonzero(~np.isfinite(norms[chunk]))[0])
            raise ValueError(
                f"expected finite features, got NaN or infinity in row {bad}; leave such rows out"
            )
        norms[chunk][norms[chunk] == 0] = np.inf
        units[chunk] = values / norms[chunk, None]
    return norms, units


@contextmanager
def _full_precision(device_type: str) -> Iterator[None]:
    """Keeps float32 products float32: the certificate's bound does not hold for TF32 or bfloat16.

    Trainers lower the precision for the whole process (``torch.set_float32_matmul_precision``, autocast).
    """
    import torch

    backends = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
