"""Figures of a selection: statistics of its scores in pool and subset, and duplicates."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Value
from numpy.typing import NDArray

from hf_vitselect.selection.selection import Selection


def score_columns(selection: Selection) -> list[str]:
    """The selection's numeric scores: the rule's first, then those of the other scorers."""
    named = [selection.recipe.by, *(scorer.column for scorer in selection.recipe.scorers)]
    kinds = selection.scores.features
    return [
        name
        for name in dict.fromkeys(filter(None, named))
        if name in kinds and isinstance(kinds[name], Value) and kinds[name].dtype != "string"
    ]


def score_values(selection: Selection, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite scores of the whole pool, and of the subset in pool order.

    Returns:
        Two float64 arrays of shapes (scored rows,) and (scored rows of the subset,).
    """
    table = selection.scores.select_columns(list(dict.fromkeys([column, "selected"]))).with_format("arrow")[:]
    values = pc.fill_null(pc.cast(table[column], pa.float64()), np.nan).to_numpy()
    finite = np.isfinite(values)
    return values[finite], values[finite & table["selected"].to_numpy()]


def statistics(selection: Selection) -> list[dict[str, Any]]:
    """Count, mean, standard deviation and quartiles of every score, in the pool and in the subset.

    Returns:
        Two rows for each of `score_columns`, with the keys score, rows, count, mean, std, min, 25%, 50%,
        75% and max. The count excludes rows without a score.
    """
    rows = []
    for column in score_columns(selection):
        for name, values in zip(("pool", "subset"), score_values(selection, column), strict=True):
            row: dict[str, Any] = {"score": column, "rows": name, "count": len(values)}
            if len(values):
                row |= {"mean": float(values.mean()), "std": float(values.std())}
                quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
                row |= dict(zip(("min", "25%", "50%", "75%", "max"), quartiles, strict=True))
            rows.append(row)
    return rows


def duplicates(selection: Selection) -> dict[str, int]:
    """The number of rows whose text and images repeat an earlier row: in the pool, in the subset."""
    table = selection.scores.select_columns(["row_id", "selected"]).with_format("arrow")[:]
    contents = [row_id.rpartition("-")[0] for row_id in table["row_id"].to_pylist()]
    picked = [content for content, was in zip(contents, table["selected"].to_pylist(), strict=True) if was]
    return {"pool": len(contents) - len(set(contents)), "subset": len(picked) - len(set(picked))}
