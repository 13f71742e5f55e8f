"""Rows that the user names by their ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.errors import RowSetError
from hf_vitselect.selection.recipe import RowSet
from hf_vitselect.selection.selection import Selection


@dataclass(frozen=True)
class NamedRows:
    """Rows to include or exclude.

    Attributes:
        positions: int64 of shape (named,), their places in the pool.
        gains: float64 of shape (named,), those of their own selection, or zeros.
        record: What the recipe says about them; None if there are none.
    """

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    record: RowSet | None

    @classmethod
    def find(cls, rows: Selection | Sequence[str], ids: Sequence[str], argument: str) -> "NamedRows":
        """Find a selection's rows, or rows with these ids, in a pool with `ids`.

        Raises:
            RowSetError: If one is not in the pool; the message names the argument.
        """
        named = rows.row_ids if isinstance(rows, Selection) else list(dict.fromkeys(rows))
        positions, missing = find_rows(named, ids)
        if missing:
            raise RowSetError(
                f"expected rows of this pool in {argument}, got {len(missing)} of {len(named)} row ids that "
                f"are not in it, the first: {missing[0]!r}; give rows of the same pool, or leave these out"
            )
        record = RowSet(rows=len(named), digest=pool_digest(named)) if named else None
        if record is None or not isinstance(rows, Selection):
            return cls(positions, np.zeros(len(named)), record)
        return cls(positions, rows.gains, replace(record, recipe=rows.recipe))


def find_rows(named: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Find rows in a pool by their ids.

    Returns:
        Their positions, int64 in the order of `named`, and the ids that are not in the pool.
    """
    places = {row_id: i for i, row_id in enumerate(ids)} if named else {}
    found = [places[row_id] for row_id in named if row_id in places]
    return np.array(found, dtype=np.int64), [row_id for row_id in named if row_id not in places]
