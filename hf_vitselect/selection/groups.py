"""The kinds of a pool's rows, and what each kind gives to the subset."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_values
from hf_vitselect.data.rows import read_texts
from hf_vitselect.selection.kinds import Kinds
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.recipe import KindShare, Recipe


@dataclass(frozen=True, eq=False)
class Groups:
    """The kinds of n rows.

    Attributes:
        labels: int64 `[n]`, each row's kind.
        names: The kinds' names.
        kinds: The kinds of question, if that is what they are.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    kinds: Kinds | None = None

    def take(self, rows: NDArray[np.int64]) -> "Groups":
        """Keep some rows, int64."""
        return replace(self, labels=self.labels[rows])


def or_one_kind(groups: Groups | None, rows: int) -> Groups:
    """Return the kinds of n rows; one kind of all rows for None."""
    return Groups(np.zeros(rows, dtype=np.int64), ("all rows",)) if groups is None else groups


def group_rows(dataset: Dataset, method: Method, earlier: Recipe | None = None) -> Groups | None:
    """Group the rows by the method's kinds, or by those of an earlier recipe; None without kinds."""
    if method.kinds is None:
        return None
    if isinstance(method.kinds, str):
        values = [_name(value) for value in read_values(dataset, method.kinds).tolist()]
        known = [share.name for share in earlier.shares] if earlier else []
        numbers = {name: number for number, name in enumerate(dict.fromkeys([*known, *sorted(set(values))]))}
        return Groups(np.array([numbers[value] for value in values], dtype=np.int64), tuple(numbers))
    if earlier is not None and earlier.kinds is not None:
        kinds = earlier.kinds
        labels = kinds.assign(read_texts(dataset))
    else:
        labels, kinds = method.kinds.find(read_texts(dataset))
    names = kinds.names
    if (labels < 0).any():
        labels, names = np.where(labels < 0, len(names), labels), (*names, "no readable question")
    return Groups(labels, names, kinds)


def kind_shares(
    groups: Groups,
    scores: NDArray[np.float64],
    left: NDArray[np.bool_],
    weights: NDArray[np.float64],
    method: Method,
    earlier: Recipe | None = None,
) -> tuple[list[KindShare], str | None]:
    """Weigh every kind by its rows left and their need; the kinds of an earlier recipe keep their weights.

    A kind whose scores are all 0 has no need. Where no kind has any, need does not count, with a warning.

    Args:
        groups: The kinds of n rows.
        scores: float64 `[n]`.
        left: bool `[n]`, the rows that filters left.
        weights: float64 `[n]`, the rows of the pool that each row stands for.
        method: Says how kinds are weighed.
        earlier: A recipe whose weights are kept.

    Returns:
        A share for each kind, and why need does not count, if the method has it.

    Raises:
        ValueError: If need counts, some score is below 0, and a mean score is not above 0.
    """
    size = len(groups.names)
    rows, counts, sums, there = (
        np.bincount(groups.labels, values, minlength=size)
        for values in (weights, weights * left, scores * left, left)
    )
    means = sums / np.maximum(there, 1)
    shares = counts.copy() if method.quota == "proportional" else np.ones(size)
    skipped = _why_no_need(means[counts > 0], scores[left], method, earlier) if method.need else None
    if skipped is not None:
        warnings.warn(f"need is skipped: {skipped}", stacklevel=2)
    elif method.need:
        shares[counts > 0] *= means[counts > 0] ** method.need
    known = {share.name: share.weight for share in earlier.shares} if earlier else {}
    weighed = [
        KindShare(
            name=name,
            rows=round(rows[i]),
            left=round(counts[i]),
            picked=0,
            score=float(means[i]) if counts[i] else None,
            weight=known.get(name, float(shares[i])),
        )
        for i, name in enumerate(groups.names)
    ]
    return weighed, skipped


def _why_no_need(
    means: NDArray[np.float64], scores: NDArray[np.float64], method: Method, earlier: Recipe | None
) -> str | None:
    """Say why need cannot count, as in an earlier recipe; None if it can."""
    if earlier is not None and earlier.need_skipped is not None:
        return earlier.need_skipped
    if (means <= 0).any() and scores.min() < 0:
        raise ValueError(
            f"need: expected scores of 0 or more in {method.by!r}, got a kind's mean of {means.min():.3g}; "
            "give another score as by=, or need=0"
        )
    if earlier is not None or (means > 0).any() or not len(scores):
        return None
    return f"expected scores above 0 in {method.by!r}, got only 0"


def quota_weights(shares: Sequence[KindShare]) -> NDArray[np.float64]:
    """The kinds' weights, above 0: kinds without need, or rows in an earlier recipe, come last."""
    weights: NDArray[np.float64] = np.maximum([share.weight for share in shares], 1e-100)
    return weights


def with_counts(shares: Sequence[KindShare], name: str, labels: NDArray[np.int64]) -> list[KindShare]:
    """Set this field of each kind's share to the number of labels of the kind."""
    counts = np.bincount(labels, minlength=len(shares)).tolist()
    return [replace(share, **{name: count}) for share, count in zip(shares, counts, strict=True)]


def _name(value: object) -> str:
    return "null" if value is None or value != value else str(value)
