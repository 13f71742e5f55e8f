"""Nearest neighbors among the remaining rows, as rows leave one after another."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks

_FEWEST_ROWS = 8
CHUNK_VALUES = 2**18  # values to convert at once: 2 MiB in float64
_LIST_ENTRIES = 2**23  # neighbors in all lists together, 12 bytes each
_PROSPECT_BLOCKS = 16  # blocks to plan for at once


class CandidateSource(Protocol):
    """A source of likely neighbors: `Products` with a proof, `FaissIndex` without."""

    @property
    def error(self) -> float | None:
        """Bound on the difference between a product and its cosine; None if there is no proof."""

    @property
    def block_rows(self) -> int:
        """Number of rows to request from `highest` at once."""

    def widths(self, neighbors: int) -> list[int]:
        """Return how many candidates to ask for: at first, and if they are too few, ascending."""

    def highest(self, rows: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Propose `width` candidates for each row, -1 for none. See `Products.highest`."""

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Leave rows out from now on."""

    def refine(self) -> bool:
        """Reduce `error` if possible, and return whether it was."""


class RemainingNeighbors:
    """The nearest remaining rows, by cosine, of each row that leaves.

    The cosine of two rows is the float64 dot product over the float64 norms, rounded to float32, and 0 if a
    row is zero. Nearest means highest cosine, then lowest row.

    Method: products propose candidates, exact cosines order them, and a bound on the products' error proves
    how far that order can be trusted. One call for a block of rows makes a *list* for each: a prefix of its
    order of all rows that remain at that time. Rows only ever leave, so the rest of a prefix is a prefix of
    the rest of the order, and a list is valid until fewer than `neighbors` of its rows remain. A block is the
    popped row and the rows without a list that are likely to be popped next. After a bad guess the next block
    is smaller.

    The proof: let every product be within `error` of its cosine. Candidates come in descending order of
    products, so beyond the first m of them each row has a cosine of at most b + `error`, where b is the next
    product. Re-scored candidates strictly above that precede all others. As many are re-scored as make a list
    of `2 * neighbors` certain, if the candidates suffice. If too few are proven, the row gets more candidates
    until enough are, in the end all rows.

    Candidates of a `FaissIndex` prove nothing. Their order is trusted, and missing rows stay missing: the
    neighbors are then approximate, their cosines exact.

    Time is about one product of d x n a pop. Memory beyond `features` and `candidates` is at most about
    200 MiB of lists, 10 MiB of buffers and 50 bytes a row. `features` is only read, by single rows, so it may
    be memory-mapped.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        norms: NDArray[np.float64],
        candidates: CandidateSource,
        neighbors: int,
        *,
        pops: int,
    ) -> None:
        """Start with all rows of features, float32 `[n, d]`, finite, with their `row_norms`, and no list.

        A pop returns `neighbors` rows, 1 or more. `pops` is the number of pops to come, 1 to n.
        """
        self._features = features
        self._norms = norms
        self._candidates = candidates
        self._neighbors = neighbors
        rows = len(features)
        self._remaining = np.ones(rows, dtype=np.bool_)
        self._left = rows
        self._leaving: list[int] = []
        self._lists: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        self._listed = np.zeros(rows, dtype=np.bool_)
        self._widths = candidates.widths(neighbors)
        self._most_rows = max(1, min(candidates.block_rows, _LIST_ENTRIES // 4 // self._widths[0]))
        self._prospects = np.empty(0, dtype=np.int64)
        self._floor = np.inf
        self._pops_left = pops
        self._pops_since_block = self._most_rows

    def pop(self, row: int, priority: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Remove a row and find its nearest remaining rows.

        Args:
            row: A row that remains.
            priority: float64 `[n]`; rows with higher values are expected to be popped sooner. It affects
                only speed, never the result.

        Returns:
            The `neighbors` nearest remaining rows, or all if fewer remain, nearest first, int64 `[m]`, and
            their cosines, float32 `[m]`.
        """
        self._remaining[row] = False
        self._left -= 1
        self._leaving.append(row)
        count = min(self._neighbors, self._left)
        near, cosines = self._take_list(row)
        for attempt, width in enumerate(self._widths):
            if len(near) >= count:
                break
            self._make_lists(np.array([row]) if attempt else self._block(row, priority), width)
            near, cosines = self._take_list(row)
        self._pops_left -= 1
        self._pops_since_block += 1
        return near[:count], cosines[:count]

    def _take_list(self, row: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        near, cosines = self._lists.pop(row, (np.empty(0, np.int64), np.empty(0, np.float32)))
        remaining = self._remaining[near]
        return near[remaining], cosines[remaining]

    def _block(self, row: int, priority: NDArray[np.float64]) -> NDArray[np.int64]:
        """Choose the rows to list now: `row`, and those that are likely to follow it."""
        # A block is as large as the pops that the last one served suggest. Where scores rise, as they do with
        # negative gains, unforeseen rows are popped and blocks serve few.
        size = min(max(2 * self._pops_since_block, _FEWEST_ROWS), self._most_rows, self._pops_left) - 1
        self._pops_since_block = 0
        others = self._unlisted(self._prospects)
        # In a large pool, ranking all rows costs more than a block, so prospects are found for many blocks at
        # once. While scores only fall, a prospect above the floor (the lowest one then) beats the rest.
        others = others[priority[others] >= self._floor]
        if len(others) < size:
            others = _top(self._unlisted(), priority, _PROSPECT_BLOCKS * self._most_rows)
            self._floor = priority[others].min(initial=np.inf)
        self._prospects = others
        return np.append(row, _top(others, priority, size))

    def _unlisted(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The remaining rows without a list, of some rows or of all."""
        if rows is None:
            return np.flatnonzero(self._remaining & ~self._listed)
        return rows[self._remaining[rows] & ~self._listed[rows]]

    def _make_lists(self, rows: NDArray[np.int64], width: int) -> None:
        if (len(self._lists) + len(rows)) * self._widths[0] > _LIST_ENTRIES:
            self._lists.clear()
            self._listed[:] = False
        self._candidates.remove(np.array(self._leaving, dtype=np.int64))
        self._leaving.clear()
        proposed, products = self._candidates.highest(rows, width)
        counts, bounds = self._certify(products)
        short = 0
        for row, count, bound, candidates in zip(rows.tolist(), counts, bounds, proposed, strict=True):
            near = candidates[:count]
            near = near[(near >= 0) & self._remaining[near]]
            cosines = cosines_with(self._features, self._norms, row, near)
            order = np.lexsort((near, -cosines))
            proven = order[: np.count_nonzero(cosines > bound)]
            self._lists[row] = near[proven], cosines[proven]
            short += len(proven) < min(self._neighbors, self._left)
        self._listed[rows] = True
        # If most first lists of a block prove too little, cosines are too close for the products' error.
        if width == self._widths[0] and 2 * short > len(rows) and self._candidates.refine():
            self._make_lists(rows, width)

    def _certify(self, products: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Decide how many candidates of each row to re-score, and bound the cosines of all other rows.

        `products` are float64 `[b, width]`, descending. Bounds are -inf if no other rows exist or count.
        """
        rows, width = products.shape
        error = self._candidates.error
        if error is None:
            return np.full(rows, width), np.full(rows, -np.inf)
        # A cosine is within `error` of its product, so a row whose product is lower than another's by more
        # than 2 * error has a lower cosine too.
        cut = products[:, min(2 * self._neighbors, width) - 1] - 2 * error
        counts = np.count_nonzero(products >= cut[:, None], axis=1)
        following = products[np.arange(rows), np.minimum(counts, width - 1)]
        return counts, np.where((counts == width) & (width >= self._left), -np.inf, following + error)


def cosines_with(
    features: NDArray[np.float32], norms: NDArray[np.float64], row: int, others: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Compute the exact cosines of one row with others, int64 `[m]`: float32 `[m]`."""
    query = features[row].astype(np.float64)
    cosines = np.empty(len(others), dtype=np.float32)
    for block in blocks(len(others), max(1, CHUNK_VALUES // len(query))):
        rows = others[block]
        # einsum sums each row in one fixed order; BLAS may not, and equal rows must tie.
        dots = np.einsum("nd,d->n", features[rows].astype(np.float64, order="C"), query)
        cosines[block] = dots / (norms[rows] * norms[row])
    return cosines


def row_norms(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the lengths of rows, float64 `[n]`, with inf for zero rows so that their cosines are 0."""
    rows, dim = features.shape
    norms = np.empty(rows, dtype=np.float64)
    for block in blocks(rows, max(1, CHUNK_VALUES // dim)):
        values = features[block].astype(np.float64, order="C")
        norms[block] = np.sqrt(np.einsum("nd,nd->n", values, values))
    norms[norms == 0] = np.inf
    return norms


def _top(rows: NDArray[np.int64], priority: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The `count` rows of highest priority, in any order, or all."""
    if len(rows) <= count:
        return rows
    return rows[np.argpartition(-priority[rows], count)[:count]]
