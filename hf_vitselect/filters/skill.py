"""A model's losses on answers, compared with guesses by how frequent each answer is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Rows
from hf_vitselect.rules.clusters import integer_labels

_RARE = 5  # rows with the same answer, below which it is rare


@dataclass(frozen=True, eq=False)
class Guessing:
    """The losses of each kind's rows, and the loss of guessing by how frequent each answer is.

    Attributes:
        rows: int64 `[kinds]`, rows with a known loss.
        losses: float64 `[kinds]`, their mean loss, 0 without any.
        entropies: float64 `[kinds]`, in nats, of their first answers: the least mean loss of a guess.
        answers: int64 `[kinds]`, different answers.
        rare: float64 `[kinds]`, the share of rows with an answer that fewer than five of them have.
    """

    rows: NDArray[np.int64]
    losses: NDArray[np.float64]
    entropies: NDArray[np.float64]
    answers: NDArray[np.int64]
    rare: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows, losses: NDArray[np.float64]) -> "Guessing":
        """Look at rows with these losses of the whole response, float64 `[n]` in nats; NaN if unknown."""
        known = np.isfinite(losses)
        kinds, number = rows.kinds[known], len(rows.kind_names)
        sizes = np.bincount(kinds, minlength=number)
        labels = integer_labels(rows.answers[known])
        pairs, counts = np.unique(kinds * (labels.max(initial=0) + 1) + labels, return_counts=True)
        of_pair = pairs // (labels.max(initial=0) + 1)
        shares = counts / sizes[of_pair]
        return cls(
            rows=sizes,
            losses=np.bincount(kinds, losses[known], minlength=number) / np.maximum(sizes, 1),
            entropies=np.bincount(of_pair, -shares * np.log(shares), minlength=number).astype(np.float64),
            answers=np.bincount(of_pair, minlength=number),
            rare=np.bincount(of_pair, shares * (counts < _RARE), minlength=number).astype(np.float64),
        )

    @property
    def skills(self) -> NDArray[np.float64]:
        """1 less losses / entropies: 0 is as good as guessing; -inf where all answers are equal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            skills: NDArray[np.float64] = 1 - self.losses / self.entropies
        return np.where(self.entropies > 0, skills, -np.inf)
