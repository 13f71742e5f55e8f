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
        name: The filter, or the status of rows without a usable score; otherwise a word for the outcome.
        group: `picked`, `left` over, `dropped` by a filter, or `unusable`.
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
        The picks, the rows that could have been picked but were not, those that `score_candidates` did not
        need, those that each filter dropped, and the unusable ones by status, each in the order of their
        number. Outcomes without rows are left out, except the picks.
    """
    scores, recipe = selection.scores, selection.recipe
    unknown = np.full(len(scores), None, dtype=object)
    filters = np.array(scores["dropped_by"][:], dtype=object) if "dropped_by" in scores.features else unknown
    pool = Candidates.read(scores, recipe.by, recipe.over)
    statuses = pool.statuses
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
    made += _by_name("left", statuses, free & pool.untried)
    made += _by_name("dropped", filters, free & dropped)
    made += _by_name("unusable", statuses, free & ~dropped & ~usable & ~pool.untried)
    return [outcome for outcome in made if len(outcome) or outcome.group == "picked"]


def _by_name(
    group: Literal["left", "dropped", "unusable"], names: NDArray[np.object_], among: NDArray[np.bool_]
) -> list[Outcome]:
    distinct = sorted(set(names[among].tolist()))
    made = [Outcome(name, group, np.flatnonzero(among & (names == name))) for name in distinct]
    return sorted(made, key=lambda outcome: -len(outcome))
