"""The base class of all selection rules, and the pool of arrays they pick from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError
from hf_vitselect.rules.blocks import blocks
from hf_vitselect.rules.faiss_build import faiss_notes

NO_ROWS = np.empty(0, dtype=np.int64)

Scores = NDArray[np.float64]
Features = NDArray[np.float32]
Picks = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows in pick order, int64 `[budget]`, and each row's score when it was picked, float64 `[budget]`."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The n rows that a rule picks from, as arrays that `Rule.__call__` has checked.

    Attributes:
        scores: float64 `[n]`, finite; all NaN unless the rule uses scores.
        features: float32 `[n, d]`, finite; `[n, 0]` unless the rule uses features.
        columns: The columns that the rule uses, `[n]` each.
        picked: Rows that are already in the subset, int64 `[m]`, distinct, in pick order. They count as the
            rule's own first picks, no matter who picked them.
        keys: A random number for each row, `[n]`: the order in which rows are drawn at random.
    """

    scores: Scores
    features: Features
    columns: Mapping[str, NDArray[Any]]
    picked: NDArray[np.int64]
    keys: NDArray[Any]

    def __len__(self) -> int:
        return len(self.scores)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers, see `as_numbers`."""
        return as_numbers(column, self.columns[column])

    def take(self, rows: NDArray[np.int64]) -> "Pool":
        """Keep some rows, int64, ascending, and the picks among them."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        earlier = self.picked[np.isin(self.picked, rows)]
        picked = np.searchsorted(rows, earlier)
        return Pool(self.scores[rows], self.features[rows], columns, picked, self.keys[rows])

    def unpicked(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Remove the rows that are already picked from an order of rows, int64 `[k]`."""
        return order[~np.isin(order, self.picked)]


class Rule(ABC):
    """A way to pick rows of a pool, one after another.

    A rule is a frozen dataclass of keyword arguments with the paper's defaults; a value out of its range
    raises `ValueError`. The fields are plain JSON values, so `dataclasses.asdict(rule)` records the rule. It
    sees only arrays, never a dataset, and keeps no state between calls. Subclasses say what they use, and
    define `pick`.
    """

    @property
    def uses_scores(self) -> bool:
        """Whether the rule needs scores."""
        return False

    @property
    def uses_features(self) -> bool:
        """Whether the rule needs features."""
        return False

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """Names of the other columns that the rule needs."""
        return ()

    @property
    def uses_faiss(self) -> bool:
        """Whether picks come from clusters by faiss, and so depend on where it runs."""
        return False

    @abstractmethod
    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick `budget` rows in addition to `pool.picked`, with `rng` as the only source of randomness."""

    def notes(
        self, scores: Scores | None, features: Features | None, budget: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Return what a recipe should say about the picks of such a call, as plain JSON."""
        return faiss_notes() if self.uses_faiss else {}

    def __call__(
        self,
        scores: Scores | None,
        features: Features | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[Any]],
        picked: NDArray[np.int64] = NO_ROWS,
        keys: NDArray[Any] | None = None,
    ) -> Picks:
        """Check the arrays and pick `budget` rows.

        Pass at least one array even if the rule uses none: it gives the number of rows, n.

        Args:
            scores: float64 `[n]`, finite; `None` is allowed if the rule does not use scores.
            features: float32 `[n, d]`, finite; `None` is allowed if the rule does not use features.
            budget: Number of rows to pick, 1 to n less the rows that are already picked.
            rng: The only source of randomness.
            columns: Other columns, `[n]` each.
            picked: Rows that are already in the subset, int64 `[m]`, distinct; see `Pool`.
            keys: A random number for each row, `[n]`, see `random_keys`; a random order by `rng` if None.

        Returns:
            The newly picked rows, int64 `[budget]`, distinct, in pick order, and their gains, float64
            `[budget]`: each row's score when it was picked.

        Raises:
            ValueError: If an array that the rule uses is missing, has the wrong shape or type or is not
                finite, or if the budget, a picked row or `rng` has the wrong type or is out of range.
        """
        if not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng: expected a numpy Generator, got {rng!r}; use np.random.default_rng(0)")
        pool = self.checked_pool(scores, features, columns, picked, keys)
        most = len(pool) - len(pool.picked)
        if not _is_whole(budget) or not 1 <= budget <= most:
            raise ValueError(f"expected a budget of 1 to {most} rows, got {budget!r}")
        if keys is None:
            pool = replace(pool, keys=rng.permutation(len(pool)))
        return self.pick(pool, int(budget), rng)

    def checked_pool(
        self,
        scores: Scores | None,
        features: Features | None,
        columns: Mapping[str, NDArray[Any]],
        picked: NDArray[np.int64] = NO_ROWS,
        keys: NDArray[Any] | None = None,
    ) -> Pool:
        """Check the arrays; arguments and errors are those of `__call__`. No keys are in row order."""
        given = self._given(scores, features, columns)
        rows = _common_length(given)
        no_scores, no_features = np.full(rows, np.nan), np.empty((rows, 0), dtype=np.float32)
        return Pool(
            scores=_finite("scores", given["scores"], no_scores) if self.uses_scores else no_scores,
            features=_finite("features", given["features"], no_features)
            if self.uses_features
            else no_features,
            columns={name: given[f"column {name!r}"] for name in self.uses_columns},
            picked=_distinct_rows(picked, rows),
            keys=np.arange(rows) if keys is None else np.asarray(keys),
        )

    def _given(
        self, scores: Scores | None, features: Features | None, columns: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays that are not None, named as in messages, or refuse if a used one is missing."""
        if not isinstance(columns, Mapping):
            raise ValueError(
                f"columns: expected a dict of arrays by name, got {columns!r}; pass {{}} for none"
            )
        arrays = {"scores": scores, "features": features}
        arrays |= {f"column {name!r}": values for name, values in columns.items()}
        given = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
        needed = ["scores"] * self.uses_scores + ["features"] * self.uses_features
        for name in [*needed, *(f"column {name!r}" for name in self.uses_columns)]:
            if name not in given:
                got = ", ".join(given) or "no arrays"
                raise ValueError(f"{type(self).__name__} expected {name}, got {got}; add that column")
        return given


def as_numbers(column: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the values of a column of numbers, or true and false, as float64 `[n]`; NaN for None.

    Raises:
        ColumnError: If a value is anything else.
    """
    if values.dtype.kind not in "biuf":
        for value in values.tolist():
            if not isinstance(value, int | float | np.number | None):
                raise ColumnError(
                    f"expected numbers in {column!r}, got {type(value).__name__} {str(value)[:40]!r}; give "
                    f"another column, or cast it with dataset.cast_column({column!r}, Value('float64'))"
                )
    return values.astype(np.float64)


def _is_whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _common_length(given: Mapping[str, NDArray[Any]]) -> int:
    lengths = {name: len(array) if array.ndim else "no length" for name, array in given.items()}
    if len(set(lengths.values())) != 1 or "no length" in lengths.values():
        raise ValueError(
            f"expected arrays of one length, got {lengths or 'none'}; pass at least one array with an "
            "entry for each row, for instance columns={'row': np.arange(n)}"
        )
    return len(next(iter(given.values())))


def _distinct_rows(picked: Any, rows: int) -> NDArray[np.int64]:
    array = np.asarray(picked)
    whole = array.ndim == 1 and (array.dtype.kind in "iu" or not array.size)
    if not whole or len(np.unique(array)) != len(array) or not ((array >= 0) & (array < rows)).all():
        raise ValueError(f"picked: expected distinct rows from 0 to {rows - 1}, got {picked!r}")
    return array.astype(np.int64)


def _finite(name: str, array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != like.dtype or array.ndim != like.ndim:
        raise ValueError(
            f"{name}: expected {like.ndim}-dimensional {like.dtype}, got {array.dtype} of shape "
            f"{array.shape}; convert or reshape it"
        )
    for block in blocks(len(array), 4096):
        finite = np.isfinite(array[block]).reshape(block.stop - block.start, -1).all(axis=1)
        if not finite.all():
            row = block.start + int(np.argmin(finite))
            raise ValueError(f"expected finite {name}, got NaN or infinity in row {row}; leave such rows out")
    return array
