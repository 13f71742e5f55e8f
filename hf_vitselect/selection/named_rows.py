"""Rows that the user names by their ids, to include or to exclude."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import RowSetError
from hf_vitselect.selection.recipe import Recipe, RowSet


@dataclass(frozen=True)
class NamedRows:
    """Rows to include or exclude: their positions in the pool, their gains, and their part of the recipe."""

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    record: RowSet | None

    @classmethod
    def find(
        cls,
        named: Sequence[str],
        ids: Sequence[str],
        argument: str,
        gains: NDArray[np.float64] | None = None,
        recipe: Recipe | None = None,
    ) -> "NamedRows":
        """Find rows by their ids in a pool with `ids`; gains and recipe are those of their selection."""
        positions, missing = find_rows(named, ids)
        if missing:
            raise RowSetError(
                f"expected rows of this pool in {argument}, got {len(missing)} of {len(named)} row ids that "
                f"are not in it, the first: {missing[0]!r}; give rows of the same pool, or leave these out"
            )
        if not named:
            return cls(positions, np.zeros(0), None)
        record = RowSet(rows=len(named), digest=pool_digest(named), recipe=recipe)
        return cls(positions, np.zeros(len(named)) if gains is None else gains, record)


NOBODY = NamedRows(np.empty(0, dtype=np.int64), np.zeros(0), None)


def find_rows(named: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Find the int64 positions of ids in a pool, in the order of `named`, and the missing ids."""
    indices = {row_id: i for i, row_id in enumerate(ids)} if named else {}
    known = [indices[row_id] for row_id in named if row_id in indices]
    return np.array(known, dtype=np.int64), [row_id for row_id in named if row_id not in indices]
