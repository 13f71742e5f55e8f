"""The outcome of every row of a pool: picked, left over, dropped by a filter, or without a usable score."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.selection.candidates import Candidates
from hf_vitselect.selection.selection import Selection


@dataclass(frozen=True, eq=False)
class Outcome:
    """The rows of a pool that ended in one way.

    Attributes:
        name: The filter, or the status of rows that could not be picked; otherwise a word for the outcome.
        group: `dropped` by a filter, `unusable`, or as the name says.
        rows: int64 `[n]`, positions in the pool; of picks in pick order.
    """

    name: str
    group: Literal["picked", "left", "dropped", "unusable"]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def outcomes(selection: Selection) -> list[Outcome]:
    """Sort every row of the pool into exactly one outcome.

    Returns:
        The picks, the rows that could have been picked but were not, those that each filter dropped in the
        order of their number, and the unusable ones by status in the order of their number. Outcomes without
        rows are left out, except the picks.
    """
    scores, recipe = selection.scores, selection.recipe
    unknown = np.full(len(scores), None, dtype=object)
    filters = np.array(scores["dropped_by"][:], dtype=object) if "dropped_by" in scores.features else unknown
    statuses = Candidates.read(scores, recipe.by, recipe.over).statuses
    if "excluded" in scores.features:
        marked = np.array(scores["excluded"][:], dtype=np.bool_)
        statuses = np.where(marked & (statuses == "ok"), "excluded", statuses)
    free = np.ones(len(scores), dtype=np.bool_)
    free[selection.indices] = False
    dropped, usable = filters != None, statuses == "ok"  # noqa: E711 (element by element)
    made = [
        Outcome("picked", "picked", selection.indices),
        Outcome("not picked", "left", np.flatnonzero(free & ~dropped & usable)),
    ]
    made += _by_name("dropped", filters, free & dropped)
    made += _by_name("unusable", statuses, free & ~dropped & ~usable)
    return [outcome for outcome in made if len(outcome) or outcome.group == "picked"]


def _by_name(
    group: Literal["dropped", "unusable"], names: NDArray[np.object_], among: NDArray[np.bool_]
) -> list[Outcome]:
    distinct = sorted(set(names[among].tolist()))
    made = [Outcome(name, group, np.flatnonzero(among & (names == name))) for name in distinct]
    return sorted(made, key=lambda outcome: -len(outcome))
