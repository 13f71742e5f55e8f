"""The draw of lazy scoring: which rows of which kind come next."""

import warnings
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.rules.base import NO_ROWS
from hf_vitselect.rules.quotas import quotas
from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.filter_rows import filter_rows
from hf_vitselect.selection.groups import Groups, group_rows, or_one_kind
from hf_vitselect.selection.judge import judge, missing_rows
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.sample import Sample
from hf_vitselect.selection.scorer_recipes import scorer_recipes

_FIRST = 20  # rows of a kind to begin with, as filters need them to judge a kind
_SPARE = 1.1  # what is drawn in place of dropped rows may be dropped, too


@dataclass(eq=False)
class Draw:
    """The state of the draw.

    Attributes:
        groups: The kinds of all rows of the pool, if the method has kinds.
        labels: int64 `[n]`, each row's kind; 0 without kinds.
        repeats: int64 `[n]`, the row that each row repeats, or -1.
        queues: The rows of each kind that may be drawn: in the order of their keys, copies last.
        more: int64 `[kinds]`, rows to draw next.
        drawn: int64, all rows drawn so far.
    """

    method: Method
    budget: int
    keys: NDArray[np.uint64]
    groups: Groups | None
    labels: NDArray[np.int64]
    repeats: NDArray[np.int64]
    queues: list[NDArray[np.int64]]
    more: NDArray[np.int64]
    drawn: NDArray[np.int64]

    @classmethod
    def begin(
        cls,
        dataset: Dataset,
        method: Method,
        free: NDArray[np.int64],
        repeats: NDArray[np.int64],
        keys: NDArray[np.uint64],
        budget: int,
    ) -> "Draw":
        """Begin with as many rows of each kind as it would give without filters, but with a few at least."""
        groups = group_rows(dataset, method)
        kinds = or_one_kind(groups, len(dataset))
        free = free[np.lexsort((keys[free], repeats[free] >= 0))]
        queues = [free[kinds.labels[free] == kind] for kind in range(len(kinds.names))]
        sizes = np.array([np.count_nonzero(repeats[queue] < 0) for queue in queues])
        more = np.maximum(
            quotas(sizes, np.maximum(sizes, 1.0), min(budget, int(sizes.sum()))), np.minimum(sizes, _FIRST)
        )
        return cls(method, budget, keys, groups, kinds.labels, repeats, queues, more, NO_ROWS)

    def next_rows(self) -> NDArray[np.int64]:
        """Return the next rows of each kind, int64, in the pool's order."""
        count = self._count(self.drawn)
        drawn = [queue[n : n + m] for queue, n, m in zip(self.queues, count, self.more, strict=True)]
        return np.sort(np.concatenate(drawn))

    def missing(self, scored: Dataset) -> NDArray[np.int64]:
        """Return how many more rows of each kind to draw, given all that were drawn, int64 `[kinds]`."""
        order = np.argsort(self.drawn)  # as in the pool
        scored, at = scored.select(order), self.drawn[order]
        pool = Candidates.read(scored, self.method.by, None)
        usable = pool.usable
        at, drawn = at[usable], self._count(self.drawn)
        there = self._count(at)
        unknown = (there == 0) & (drawn < [len(queue) for queue in self.queues])
        more = np.where(unknown, np.maximum(drawn, _FIRST), 0)
        if not len(usable):
            return more
        later = [queue[n:] for queue, n in zip(self.queues, drawn, strict=True)]
        rest = np.concatenate([NO_ROWS, *(later[kind] for kind in np.flatnonzero(~unknown))])
        unscored = rest[self.repeats[rest] < 0]
        sample = Sample.drawn(self.groups, at, unscored, self.repeated, self.keys)
        groups = self.groups and self.groups.take(at)
        scorers = scorer_recipes(scored, [self.method.by, self.method.over, *self.method.filter_columns])
        with warnings.catch_warnings():  # select_diverse warns of what is skipped or ignored
            warnings.filterwarnings("ignore", ".* is (skipped|ignored): ", UserWarning)
            part, scores = scored.select(usable), pool.scores[usable]
            seen = filter_rows(part, scores, self.method, groups, scorers, sample, self.budget)
            judged = judge(seen, self.method, groups, scorers)
        left = self._count(at[judged.left])
        spare = _SPARE * missing_rows(judged, self.budget) * there / np.maximum(left, 1)
        more = np.maximum(more, np.ceil(spare).astype(np.int64))
        more[judged.unsure] = np.maximum(more[judged.unsure], there[judged.unsure])
        more = np.minimum(more, [np.count_nonzero(self.repeats[rows] < 0) for rows in later])
        if not more.any() and judged.left.sum() < self.budget:
            return np.array(list(map(len, later)))  # copies, if there are any
        return more

    @property
    def repeated(self) -> NDArray[np.int64]:
        """The row that each row repeats, int64 `[n]`; -1 for a row that repeats none or was drawn."""
        repeated = self.repeats.copy()
        repeated[self.drawn] = -1
        return repeated

    def _count(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the rows of each kind."""
        return np.bincount(self.labels[rows], minlength=len(self.queues))
