"""What every selection rule is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

NO_ROWS = np.empty(0, dtype=np.int64)


class Rule(ABC):
    """Picks rows of a pool, one after the other.

    A rule is a frozen dataclass of keyword arguments, with the paper's defaults; its fields are plain JSON
    values, so that `dataclasses.asdict(rule)` records it. It knows arrays only, no data set, and holds no
    state between calls.

    Attributes:
        uses_scores: Whether a call needs `scores`.
        uses_features: Whether a call needs `features`.
    """

    uses_scores: ClassVar[bool]
    uses_features: ClassVar[bool]

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """Names of the further columns that a call needs in `columns`."""
        return ()

    @abstractmethod
    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, beside those that are picked already.

        Args:
            scores: float64 `[n]`, finite; `None` only where the rule does not use scores.
            features: float32 `[n, d]`, finite; `None` only where the rule does not use features.
            budget: How many rows to pick, 1 to n less those that are picked already.
            rng: The only source of randomness.
            columns: Further columns, `[n]` each.
            picked: Rows that are in the subset already, int64 `[m]`, distinct, in pick order. They count
                as this rule's first picks, whoever picked them.

        Returns:
            The newly picked rows, int64 `[budget]`, distinct, in pick order; and their gains, float64
            `[budget]`, each the row's score at the moment of its pick.

        Raises:
            ValueError: If an array that the rule uses is missing.
        """

    def notes(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
    ) -> dict[str, Any]:
        """What a recipe should say about the picks of a call with these arguments, as plain JSON."""
        return {}


def first_others(order: NDArray[np.int64], picked: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """The first `budget` rows of an order that are not picked yet, int64 `[budget]`."""
    return order[~np.isin(order, picked)][:budget]


def required(array: NDArray[Any] | None, name: str, rule: Rule) -> NDArray[Any]:
    """The array, of which the rule cannot do without.

    Raises:
        ValueError: if it is missing.
    """
    if array is None:
        raise ValueError(f"{type(rule).__name__} expected {name}, got none; add that column")
    return array


def pool_size(
    scores: NDArray[np.float64] | None,
    features: NDArray[np.float32] | None,
    columns: Mapping[str, NDArray[np.generic]],
) -> int:
    """Counts the pool's rows for a rule that reads none of the arrays.

    Args:
        scores: float64 `[n]` or `None`.
        features: float32 `[n, d]` or `None`.
        columns: Further columns, `[n]` each.

    Returns:
        n, the length of whichever array is there.

    Raises:
        ValueError: If there is no array at all.
    """
    for array in (scores, features, *columns.values()):
        if array is not None:
            return len(array)
    raise ValueError(
        "expected scores, features or a column to tell the pool's size, got none of them; "
        "pass any array with one entry a row, for instance columns={'row': np.arange(n)}"
    )
