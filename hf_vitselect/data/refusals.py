"""Refused rows: one row's reason, and counts, errors and warnings about many."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.data.columns import read_column
from hf_vitselect.data.provenance import without_folders
from hf_vitselect.data.text import cut
from hf_vitselect.errors import UNTRIED, AllRefusedError, RowError

LONGEST_REASON = 200


def reason_of(error: RowError) -> str:
    """A row's reason as its column holds it: one short line, the same on every machine."""
    text = cut(without_folders(" ".join(error.message.split())), LONGEST_REASON)
    return text.encode("utf-8", "replace").decode()


def read_reasons(
    dataset: Dataset, columns: Collection[str], statuses: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Reasons of the rows that cannot be used, from the scorers' reason columns."""
    reasons = np.full(len(dataset), None, dtype=object)
    unknown = statuses != "ok"
    for column in columns:
        names = (f"{column}_status", f"{column}_reason")
        if unknown.any() and all(dataset.features.get(name) == Value("string") for name in names):
            status, reason = (np.array(read_column(dataset, name).to_pylist(), object) for name in names)
            explained = unknown & (status == statuses) & np.array([text is not None for text in reason], bool)
            reasons[explained] = reason[explained]
            unknown &= ~explained
    reasons[unknown] = f"no usable value in {' or '.join(columns)}"
    return reasons


@dataclass(frozen=True)
class Refusals:
    """The number of refused rows, and the reasons.

    Attributes:
        rows: all rows, refused or not, but without those that nobody has tried to score.
        counts: refused rows by status, the most frequent first.
        reasons: the first reason for each status.
    """

    rows: int
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Iterable[tuple[str, str | None]]) -> "Refusals":
        """Count the statuses and reasons of all rows."""
        counts: Counter[str] = Counter()
        reasons: dict[str, str] = {}
        for status, reason in outcomes:
            if status in UNTRIED:
                continue
            counts[status] += 1
            if status != "ok" and reason:
                reasons.setdefault(status, reason)
        rows = counts.total()
        del counts["ok"]
        return cls(rows, dict(counts.most_common()), reasons)

    @classmethod
    def read(cls, dataset: Dataset, column: str) -> "Refusals":
        """Count those in a scorer's columns."""
        names = [f"{column}_status", f"{column}_reason"]
        statuses, reasons = (read_column(dataset, name).to_pylist() for name in names)
        return cls.of(zip(statuses, reasons, strict=True))

    @classmethod
    def of_errors(cls, rows: int, errors: Iterable[RowError]) -> "Refusals":
        """Count the errors of the refused among some rows."""
        refused = cls.of((error.status, reason_of(error)) for error in errors)
        return cls(rows, refused.counts, refused.reasons)

    @property
    def refused(self) -> int:
        """The number of refused rows."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        return ", ".join(
            f"{count:,} {status}" + (f" ({self.reasons[status]})" if status in self.reasons else "")
            for status, count in self.counts.items()
        )


def refuse_if_none_left(refusals: Refusals, what: str, advice: str, scored: Any = None) -> None:
    """Raise an error if every row was refused: `what` failed, `advice` helps, `scored` is the pool."""
    if refusals.refused == refusals.rows:
        raise AllRefusedError(f"all {refusals.rows:,} rows {what}: {refusals}\n{advice}", scored)


def warn_if_most_are_refused(refusals: Refusals, what: str, advice: str) -> None:
    """Warn if more than half of the rows were refused; arguments as in `refuse_if_none_left`."""
    if 2 * refusals.refused > refusals.rows:
        share = f"{refusals.refused / refusals.rows:.0%}"
        warnings.warn(
            f"{refusals.refused:,} of {refusals.rows:,} rows ({share}) {what}: {refusals}; {advice}",
            stacklevel=3,
        )
