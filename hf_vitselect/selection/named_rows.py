"""Rows that the user names by their ids."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        positions: int64 of shape (named,), where they are in the pool, in their order.
        gains: float64 of shape (named,), those of their own selection, or zeros.
        record: What a recipe says about them; None if there are none.
    """

    positions: NDArray[np.int64]
    gains: NDArray[np.float64]
    record: RowSet | None

    @classmethod
    def find(cls, rows: Selection | Sequence[str], ids: Sequence[str], argument: str) -> "NamedRows":
        """Finds a selection's rows, or rows with these ids.

        Args:
            rows: A selection, or row ids; a repeated id counts once.
            ids: The pool's row ids.
            argument: Who named them, for the message.

        Raises:
            RowSetError: If one is not in the pool.
        """
        named = rows.row_ids if isinstance(rows, Selection) else list(dict.fromkeys(rows))
        positions, missing = find_rows(named, ids)
        if missing:
            raise RowSetError(
                f"expected rows of this pool in {argument}, got {len(missing)} of {len(named)} row ids that "
                f"are not in it, the first: {missing[0]!r}; give rows of the same pool, or leave these out"
            )
        recipe, gains = (rows.recipe, rows.gains) if isinstance(rows, Selection) else (None, None)
        record = RowSet(rows=len(named), digest=pool_digest(named), recipe=recipe) if named else None
        return cls(positions, np.zeros(len(named)) if gains is None else gains, record)


def find_rows(named: Sequence[str], ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Finds rows in a pool by their ids.

    Returns:
        Their positions, int64 in the order of `named`; and the ids that are not in the pool.
    """
    place = {row_id: i for i, row_id in enumerate(ids)} if named else {}
    found = [place[row_id] for row_id in named if row_id in place]
    return np.array(found, dtype=np.int64), [row_id for row_id in named if row_id not in place]
