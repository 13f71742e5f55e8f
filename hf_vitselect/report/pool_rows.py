"""Rows of a selection's pool by their position: their content, kind and reason."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import row_contents
from hf_vitselect.errors import LayoutError, UsageError
from hf_vitselect.selection.groups import group_rows, or_one_kind
from hf_vitselect.selection.method import read_method
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.selection.selection import Selection

_REPEATS = ", repeats "


def refuse_other_length(selection: Selection, pool: Dataset) -> None:
    """Refuse a pool that has another number of rows than the selection's."""
    if len(pool) != selection.recipe.rows:
        raise LayoutError(
            f"expected the pool of {selection.recipe.rows:,} rows that the selection was made from, "
            f"got {len(pool):,} rows; pass that pool"
        )


def read_positions(selection: Selection, pool: Dataset | None, positions: NDArray[np.int64]) -> Dataset:
    """The rows at these positions, int64, from the pool, or from the picks if the pool is None.

    Raises:
        LayoutError: If a row of the pool is not the selection's.
    """
    known = selection.scores.select(positions)
    if pool is None:
        return selection.dataset.select(known["rank"][:])
    refuse_other_length(selection, pool)
    rows = pool.select(positions)
    for place, row_id, content in zip(positions, known["row_id"], row_contents(rows), strict=True):
        if row_id.rpartition("-")[0] != content:
            raise LayoutError(
                f"expected the pool that the selection was made from, got another row at {place:,}; "
                "pass that pool, with its images where they were"
            )
    return rows


def kind_labels(recipe: Recipe, rows: Dataset) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The kind of each row by the recipe, int64 `[rows]`, and the kinds' names; one kind if unknown."""
    groups = None
    with suppress(UsageError):  # a method that is not of this package
        method = read_method(recipe.method or "")
        if isinstance(method.kinds, str) or recipe.kinds is not None:
            groups = group_rows(rows, method, recipe)
    groups = or_one_kind(groups, len(rows))
    return groups.labels, groups.names


def reason_of_row(recipe: Recipe, scores: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The reason why a row of `Selection.scores` was left out, and the id of the row that it repeats."""
    if scores["selected"]:
        return None, None
    if dropped := scores.get("dropped_reason"):
        reason, _, repeated = str(dropped).partition(_REPEATS)
        return reason, repeated or None
    reasons = (scores.get(f"{name}_reason") for name in (recipe.by, recipe.over))
    return next(filter(None, reasons), None), None
