"""Random rows with the lengths of a selection: a control for rules that only prefer long responses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.rules.base import Picks, Pool, Rule


@dataclass(frozen=True, kw_only=True)
class LengthMatchedRandom(Rule):
    """Random rows whose lengths are distributed like those of marked rows.

    The marked rows' lengths are reduced to as many evenly spaced quantiles as rows are picked; with as many
    picks as marked rows these are exactly their lengths. For each quantile a row of that length is drawn
    uniformly, without replacement, or of the nearest length that is left. All gains are 0.

    Args:
        like: Column that marks the rows to resemble: true, or not 0. In `compare`, the name of a selection.
        lengths: Column of lengths, such as the response tokens that `NecessityScorer` counts. Rows without a
            finite length are picked last.

    Raises:
        ValueError: When picking, if no row is marked or a column holds text.

    Examples:
        >>> columns = {"selected": np.array([1, 1, 0, 0, 0]), "response_tokens": np.array([2, 9, 2, 9, 5])}
        >>> rows, gains = LengthMatchedRandom()(None, None, 2, np.random.default_rng(0), columns)
        >>> sorted(columns["response_tokens"][rows].tolist())
        [2, 9]
    """

    like: str = "selected"
    lengths: str = "response_tokens"

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The columns of marks and lengths."""
        return (self.like, self.lengths)

    def pick(self, pool: Pool, budget: int, rng: np.random.Generator) -> Picks:
        """Pick rows such that they and the earlier picks together have the lengths, in random order."""
        marks, lengths = map(pool.numbers, self.uses_columns)
        lengths = np.where(np.isfinite(lengths), lengths, np.inf)
        marked = lengths[np.nan_to_num(marks) != 0]  # a mark may be missing
        if not len(marked):
            raise ValueError(f"LengthMatchedRandom expected rows to resemble, got none in {self.like!r}")
        rows = len(pool.picked) + budget
        targets = np.quantile(marked, (np.arange(rows) + 0.5) / rows, method="inverted_cdf")
        # Sorted random numbers, not a permutation: `Random` with the same seed must draw other rows. Earlier
        # picks come first in the order, so that they are taken for the quantiles of their lengths.
        order = np.concatenate([pool.picked, pool.unpicked(np.argsort(rng.random(len(pool))))])
        free = np.ones(len(pool), dtype=np.bool_)
        picks: list[NDArray[np.int64]] = []
        for target, count in zip(*np.unique(targets, return_counts=True), strict=True):
            rest = order[free[order]]
            # Two infinite lengths are equal, but their difference is NaN.
            distance = np.where(lengths[rest] == target, 0.0, np.abs(lengths[rest] - target))
            picks.append(rest[np.argsort(distance, kind="stable")[:count]])
            free[picks[-1]] = False
        return pool.unpicked(rng.permutation(np.concatenate(picks)))[:budget], np.zeros(budget)
