"""Random rows with the response lengths of a selection: the control for a rule that only picks long ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS, Rule, first_others


@dataclass(frozen=True, kw_only=True)
class LengthMatchedRandom(Rule):
    """Picks rows at random whose lengths are distributed as those of marked rows.

    The marked rows' lengths give `budget` evenly spaced quantiles, which are their very lengths where the
    budget is their number. For each, a row of that length is drawn uniformly, without replacement; where none
    is left, the nearest length is taken. Every gain is 0.0.

    Attributes:
        like: Column that marks the rows to resemble: true, or not zero. In `compare` the name of a selection.
        lengths: Column of lengths, such as the response tokens that `NecessityScorer` counts. Rows without a
            finite one are only picked when no others are left.

    Example:
        >>> columns = {"selected": np.array([1, 1, 0, 0, 0]), "response_tokens": np.array([2, 9, 2, 9, 5])}
        >>> rows, gains = LengthMatchedRandom()(None, None, 2, np.random.default_rng(0), columns)
        >>> sorted(columns["response_tokens"][rows].tolist())
        [2, 9]
    """

    uses_scores: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False

    like: str = "selected"
    lengths: str = "response_tokens"

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The marks and the lengths."""
        return (self.like, self.lengths)

    def __call__(
        self,
        scores: NDArray[np.float64] | None,
        features: NDArray[np.float32] | None,
        budget: int,
        rng: np.random.Generator,
        columns: Mapping[str, NDArray[np.generic]],
        picked: NDArray[np.int64] = NO_ROWS,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Picks `budget` rows, in random order; all of `picked` and them have the lengths.

        See `Rule.__call__`.
        """
        for name in self.uses_columns:
            if name not in columns:
                raise ValueError(f"LengthMatchedRandom expected a column {name!r}, got {sorted(columns)}")
            if any(isinstance(value, str) for value in columns[name].tolist()):
                raise ValueError(
                    f"LengthMatchedRandom expected numbers, or true and false, in {name!r}, got texts; "
                    "give another column"
                )
        lengths = np.asarray(columns[self.lengths], dtype=np.float64)
        lengths = np.where(np.isfinite(lengths), lengths, np.inf)
        marks = np.asarray(columns[self.like], dtype=np.float64)  # NaN where there is no mark
        marked = lengths[np.nan_to_num(marks) != 0]
        if not len(marked):
            raise ValueError(f"LengthMatchedRandom expected rows to resemble, got none in {self.like!r}")
        rows = len(picked) + budget
        wanted = np.quantile(marked, (np.arange(rows) + 0.5) / rows, method="inverted_cdf")
        # Rows that are picked already stand first, so that they are what is taken of their lengths.
        shuffled = np.argsort(
            rng.random(len(lengths))
        )  # another order than that of Random with the same seed
        order = np.concatenate([picked, first_others(shuffled, picked, len(lengths))])
        free = np.ones(len(lengths), dtype=np.bool_)
        picks: list[NDArray[np.int64]] = []
        for length, count in zip(*np.unique(wanted, return_counts=True), strict=True):
            rest = order[free[order]]
            # Infinity less infinity is no number, but the same length all the same.
            distance = np.where(lengths[rest] == length, 0.0, np.abs(lengths[rest] - length))
            picks.append(rest[np.argsort(distance, kind="stable")[:count]])
            free[picks[-1]] = False
        drawn = rng.permutation(np.concatenate(picks))
        return first_others(drawn, picked, budget), np.zeros(budget)
