"""The skill of a model in answering: what it knows about the answers beyond how frequent each one is."""

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.filters.base import Rows
from hf_vitselect.rules.clusters import integer_labels

_CLOSED = 0.5  # most distinct answers of a kind, as a share of its rows, to know how frequent each one is


def skills(rows: Rows, losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the model's skill in each kind, and whether the kind's answers are closed.

    The skill is 1 less the mean loss of a whole response divided by the entropy of the kind's first answers:
    0 for a model that knows only how frequent each answer is, 1 for one that knows every answer.

    Args:
        rows: The rows with their kinds and answers.
        losses: float64 `[n]`, of the whole response, in nats; NaN if unknown.

    Returns:
        float64 `[kinds]`, at most 1, -inf where all answers are equal; and bool `[kinds]`: True if at most
        half of the answers are distinct. Where more are, their entropy is not known, nor is the skill.
    """
    known = np.isfinite(losses)
    kinds, number = rows.kinds[known], len(rows.kind_names)
    sizes = np.bincount(kinds, minlength=number)
    answers = integer_labels(rows.answers[known])
    pairs, counts = np.unique(kinds * (answers.max(initial=0) + 1) + answers, return_counts=True)
    of_pair = pairs // (answers.max(initial=0) + 1)
    shares = counts / sizes[of_pair]
    entropy = np.bincount(of_pair, -shares * np.log(shares), minlength=number)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(kinds, losses[known], minlength=number) / sizes
        skill = np.where(entropy > 0, 1 - mean / entropy, -np.inf)
    return skill, np.bincount(of_pair, minlength=number) <= _CLOSED * sizes
