"""Rows whose loss is among the highest of their kind and answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows, quoted
from hf_vitselect.filters.cells import Cells, bounds_of_rows
from hf_vitselect.filters.skill import Guessing


@dataclass(frozen=True, kw_only=True)
class LossTail(Filter):
    """Rows whose loss is among the highest of the rows with the same kind and first answer.

    A high loss marks wrong answers first, but also rare ones: a cut across answers, or across kinds, changes
    their shares. So the loss is ranked inside each cell, the rows of one kind and one first answer, whether
    earlier filters have dropped them or not. A row's quantile is the share of its cell with a lower loss,
    where copies that were not scored count with the row that they repeat.
    Rows from the quantile `cut` up are dropped.

    Where too few rows would be left for the budget, the cut rises in all cells alike. Where the seed model
    has no skill in a kind, a low loss only means an answer that is easy to guess; `min_skill` spares these
    kinds.

    Args:
        cut: Lowest quantile to drop, above 0, at most 1.
        smallest: Least rows of an answer with a cell of its own; a kind's other answers share one.
        spare: Rows to leave, as a multiple of the budget, 1 or more.
        min_skill: Least skill of the seed model in a kind whose rows are dropped, at most 1; None drops rows
            of all kinds. The skill is 1 less the mean loss of a whole response divided by the entropy of the
            kind's first answers, both in nats: 0 for a model that knows only how frequent each answer is, 1
            for one that knows every answer. It is underestimated for rows of several turns. Needs the scores
            to be losses, and the column `response_tokens`.

    Examples:
        >>> from hf_vitselect.filters.base import Rows
        >>> scores = np.array([0.1, 0.2, 0.3, 0.4, 9.0])
        >>> rows = Rows.of(scores, budget=3)
        >>> LossTail(cut=0.8).find(rows).rows
        array([4])
    """

    uses_scores = True
    uses_kinds = True
    uses_answers = True

    cut: float = 0.85
    smallest: int = 20
    spare: float = 1.25
    min_skill: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.cut <= 1:
            raise ValueError(f"cut: expected above 0, at most 1, got {self.cut!r}")
        if self.smallest < 1:
            raise ValueError(f"smallest: expected 1 or more, got {self.smallest!r}")
        if not 1 <= self.spare < math.inf:
            raise ValueError(f"spare: expected 1 or more, got {self.spare!r}")
        if self.min_skill is not None and not -math.inf < self.min_skill <= 1:
            raise ValueError(f"min_skill: expected at most 1, got {self.min_skill!r}")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The number of response tokens, if the skill matters."""
        return () if self.min_skill is None else ("response_tokens",)

    def find(self, rows: Rows) -> Drops:
        """Find the rows above the cut of their cell, the highest quantile first."""
        cells = Cells.of(rows, self.smallest)
        quantiles = _quantiles(cells.labels, rows.scores, 1 + rows.copies)
        if not quantiles.any():
            raise NothingToGoByError("expected scores that differ inside a kind and answer, got equal ones")
        thresholds: dict[str, Any] = {}
        if self.min_skill is not None:
            losses = rows.numbers("response_tokens") * rows.scores
            of_kinds = Guessing.of(rows, losses).skills
            thresholds["skills"] = {
                name: round(float(skill), 3)
                for name, skill in sorted(zip(rows.kind_names, of_kinds, strict=True))
                if np.isfinite(skill)
            }
            quantiles[of_kinds[rows.kinds] < self.min_skill] = 0.0
        droppable = rows.droppable
        cut = self._cut_for_budget(rows, quantiles)
        highest = np.full(len(cells), -np.inf)  # of the rows of a cell that are not cut
        np.maximum.at(highest, cells.labels[quantiles < cut], rows.scores[quantiles < cut])
        highest[cells.count(quantiles >= cut) == 0] = np.nan
        thresholds = {"cut": cut, **thresholds, "cells": cells.bounds(highest)}
        dropped = np.flatnonzero(droppable & (quantiles >= cut))
        dropped = dropped[np.lexsort((dropped, -rows.scores[dropped], -quantiles[dropped]))]
        reasons = [
            f"a loss of {rows.scores[row]:.3f} is above {quantiles[row]:.1%} of {_described(name)}"
            for row in dropped
            for name in [cells.names[cells.labels[row]]]
        ]
        return Drops(rows=dropped, reasons=reasons, thresholds=thresholds)

    def find_more(self, rows: Rows, thresholds: Mapping[str, Any]) -> Drops:
        """Find the rows above the loss up to which their cell was kept, the furthest above it first."""
        highest = bounds_of_rows(rows, thresholds["cells"], np.inf)
        dropped = np.flatnonzero(rows.droppable & (rows.scores > highest))
        dropped = dropped[np.lexsort((dropped, -(rows.scores - highest)[dropped]))]
        reasons = [
            f"a loss of {rows.scores[row]:.3f} is above {highest[row]:.3f}, the highest kept of kind "
            f"{rows.kind_names[rows.kinds[row]]!r} with such an answer"
            for row in dropped
        ]
        return Drops(rows=dropped, reasons=reasons, thresholds=thresholds)

    def describe(self, thresholds: Mapping[str, Any]) -> str:
        """Name the quantile, and the kinds without skill."""
        line = f"losses from quantile {thresholds['cut']:.3g} up of their kind and answer"
        of_kinds, least = thresholds.get("skills", {}), self.min_skill
        spared = [kind for kind, skill in of_kinds.items() if least is not None and skill < least]
        reason = "where the seed model has too little skill"
        return f"{line}; none of {_listed(spared)}, {reason}" if spared else line

    def _cut_for_budget(self, rows: Rows, quantiles: NDArray[np.float64]) -> float:
        """The lowest quantile to drop such that enough rows are left; rows of equal quantiles go together."""
        most = max(0.0, rows.weights[rows.left].sum() - math.ceil(self.spare * rows.budget))
        tail = np.flatnonzero(rows.droppable & (quantiles >= self.cut))
        tail = tail[np.argsort(-quantiles[tail], kind="stable")]
        beyond = tail[np.cumsum(rows.weights[tail]) > most]
        if not len(beyond):
            return self.cut
        return float(np.min(quantiles[tail][quantiles[tail] > quantiles[beyond[0]]], initial=1.0))


def _quantiles(
    labels: NDArray[np.int64], scores: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of each row's cell with a lower score, float64 `[n]`, 0 to less than 1.

    Each row counts as often as `counts` says, whole numbers `[n]` of 1 or more.
    """
    order = np.lexsort((scores, labels))
    labels, scores = labels[order], scores[order]
    new_cell = np.append(True, labels[1:] != labels[:-1])
    new_score = new_cell | np.append(True, scores[1:] != scores[:-1])
    positions = np.arange(len(scores))
    starts, firsts = (np.maximum.accumulate(np.where(new, positions, 0)) for new in (new_cell, new_score))
    before = np.append(0, np.cumsum(counts[order]))
    quantiles = np.empty(len(scores))
    quantiles[order] = (before[firsts] - before[starts]) / np.bincount(labels, counts[order])[labels]
    return quantiles


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The first names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


def _described(cell: tuple[str, str | None]) -> str:
    kind, answer = cell
    answers = "a rare answer" if answer is None else f"the answer {answer!r}"
    return f"the rows of kind {kind!r} with {answers}"
