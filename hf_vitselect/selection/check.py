"""Checks that the parts of a selection from somewhere else fit together."""

import re

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.data.row_ids import pool_digest
from hf_vitselect.selection.json_part import expect
from hf_vitselect.selection.recipe import Recipe

_ROW_ID = re.compile(r"[0-9a-f]{64}-\d+")


def check_selection(
    recipe: Recipe, indices: NDArray[np.int64], gains: NDArray[np.float64], scores: Dataset
) -> None:
    """Refuse a selection whose parts, as of `Selection`, do not fit together.

    Raises:
        SelectionError: With what was expected and what was found.
    """
    rows, picked = recipe.rows, recipe.selected
    shapes, kinds = [indices.shape, gains.shape], [indices.dtype.kind, gains.dtype.kind]
    expect(shapes == [(picked,)] * 2, "picks", f"{picked} picks and gains", shapes)
    expect(kinds == ["i", "f"], "picks", "whole numbers and gains", kinds)
    in_pool = not picked or (indices.min() >= 0 and indices.max() < rows)
    distinct = len(np.unique(indices)) == picked
    expect(in_pool and distinct, "picks", f"distinct rows of a pool of {rows}", indices)
    expect(len(scores) == rows, "scores", f"{rows} rows", len(scores))
    missing = {"row_id", "selected", "rank"} - set(scores.column_names)
    expect(not missing, "scores", "the columns row_id, selected and rank", scores.column_names)
    ids = scores["row_id"][:]
    odd = next((it for it in ids if not (isinstance(it, str) and _ROW_ID.fullmatch(it))), None)
    expect(odd is None, "scores.row_id", "row ids such as 'ab…12-0'", odd)
    expect(len(set(ids)) == len(ids), "scores.row_id", "distinct row ids", "repeated ones")
    digest = pool_digest(ids)
    expect(
        digest == recipe.fingerprint, "scores.row_id", f"row ids with the digest {recipe.fingerprint}", digest
    )
    ranks = np.full(rows, -1, dtype=np.int64)
    ranks[indices] = np.arange(picked)
    recorded = [-1 if rank is None else rank for rank in scores["rank"]]
    expect(recorded == ranks.tolist(), "scores.rank", "the picked rows in pick order", recorded)
    marks = scores["selected"][:]
    expect(marks == (ranks >= 0).tolist(), "scores.selected", "marks of the picked rows", marks)
