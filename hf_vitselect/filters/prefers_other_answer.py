"""Rows whose answer the seed model would replace with its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_vitselect.filters.base import Drops, Filter, NothingToGoByError, Rows


@dataclass(frozen=True, kw_only=True)
class PrefersOtherAnswer(Filter):
    """Rows where the seed model prefers an answer of its own to the given one by high log odds.

    The odds are those of `OtherAnswer`. The highest are dropped first, each with the model's own answer as
    the evidence. Where the model has no skill, its own answer is a guess: give odds that are high enough.

    Args:
        log_odds: Least log odds of the model's own answer, in nats, above 0.
        column: The log odds.
        answer: The model's own answer.

    Examples:
        >>> from hf_vitselect.filters.base import Rows
        >>> odds, answers = np.array([0.0, 5.0]), np.array([None, "two"], dtype=object)
        >>> rows = Rows.of(np.zeros(2), columns={"other_answer_odds": odds, "other_answer": answers})
        >>> PrefersOtherAnswer(log_odds=4.0).find(rows).reasons
        ["the model prefers 'two' by log odds of 5.00"]
    """

    log_odds: float = 4.0
    column: str = "other_answer_odds"
    answer: str = "other_answer"

    def __post_init__(self) -> None:
        if not 0 < self.log_odds < math.inf:
            raise ValueError(f"log_odds: expected above 0, got {self.log_odds!r}")

    @property
    def uses_columns(self) -> tuple[str, ...]:
        """The odds and the answer."""
        return (self.column, self.answer)

    def find(self, rows: Rows) -> Drops:
        """Find the rows with high odds, the highest first."""
        odds = rows.numbers(self.column)
        if not np.nanmax(odds, initial=-np.inf) > np.nanmin(odds, initial=np.inf):
            raise NothingToGoByError(f"expected different values in {self.column!r}, got equal ones or none")
        return self.find_more(rows, {})

    def find_more(self, rows: Rows, thresholds: Mapping[str, Any]) -> Drops:
        """Find the rows with high odds, the highest first."""
        odds = rows.numbers(self.column)
        dropped = np.flatnonzero(rows.droppable & (odds >= self.log_odds))
        dropped = dropped[np.lexsort((dropped, -rows.scores[dropped], -odds[dropped]))]
        answers = rows.columns[self.answer]
        reasons = [
            f"the model prefers {_short(answers[row])!r} by log odds of {odds[row]:.2f}" for row in dropped
        ]
        return Drops(rows=dropped, reasons=reasons)


def _short(answer: Any, length: int = 60) -> str:
    """The end of an answer, where the model's own token is."""
    text = " ".join(str(answer).split())
    return text if len(text) <= length else f"... {text[-length:]}"
