"""What a selection looks like: numbers, plots and plain tables."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.selection.selection import Selection


def score_columns(selection: Selection) -> list[str]:
    """The selection's scores: what the rule looked at first, then every other scorer's numbers."""
    named = [selection.recipe.by, *(scorer.column for scorer in selection.recipe.scorers)]
    kinds = selection.scores.features
    return [
        name
        for name in dict.fromkeys(filter(None, named))
        if name in kinds and isinstance(kinds[name], Value) and kinds[name].dtype != "string"
    ]


def score_values(selection: Selection, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite scores of the whole pool, and of the subset in pool order.

    Args:
        column: one of `score_columns`.

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
        75% and max; count leaves out rows without a score.
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


def composition(pool: Dataset, selection: Selection, column: str) -> dict[str, dict[str, float]]:
    """How often each value of a column is in the pool and in the subset.

    Args:
        pool: the pool that the selection was made from; may have columns that the selection does not.
        column: a column of plain values; meant for few distinct ones, such as a source or a kind.

    Returns:
        For each value, the pool's most frequent first: `pool` and `subset` (rows), `pool_share` and
        `subset_share` (0 to 1). A null is called `(none)`.

    Raises:
        ColumnError: if there is no such column of plain values.
        LayoutError: if the pool does not have the rows of the selection's pool.

    Example:
        >>> composition(pool, selection, "kind")["caption"]["subset_share"]  # doctest: +SKIP
        0.25
    """
    if len(pool) != selection.recipe.rows:
        raise LayoutError(
            f"expected the pool of {selection.recipe.rows} rows that the selection was made from, "
            f"got {len(pool)} rows; give that pool"
        )
    if not isinstance(pool.features.get(column), Value):
        plain = [name for name, kind in pool.features.items() if isinstance(kind, Value)]
        raise ColumnError(f"expected a column of plain values, got {column!r}; choose one of {plain}")
    values = pool[column]
    everywhere, picked = Counter(values), Counter(values[index] for index in selection.indices)
    return _shares((value, count, picked[value]) for value, count in everywhere.items())


def compositions(selection: Selection) -> dict[str, dict[str, dict[str, float]]]:
    """What the selection itself remembers of its composition, and that of its answers' lengths.

    Returns:
        For each column that sorts the pool's rows into kinds, what `composition` gives; and under the name of
        the lengths, the rows in each quarter of the pool's lengths.
    """
    known = {
        name: _shares((count.value, count.pool, count.subset) for count in counts)
        for name, counts in selection.recipe.composition.items()
    }
    name = selection.length_column
    lengths = _length_counts(selection, name) if name else []
    return known | ({name: _shares(lengths, sort=False)} if name and len(lengths) > 1 else {})


def duplicates(selection: Selection) -> dict[str, int]:
    """Rows that repeat an earlier one, picture for picture and word for word: in the pool, in the subset."""
    table = selection.scores.select_columns(["row_id", "selected"]).with_format("arrow")[:]
    contents = [row_id.rpartition("-")[0] for row_id in table["row_id"].to_pylist()]
    picked = [
        content for content, there in zip(contents, table["selected"].to_pylist(), strict=True) if there
    ]
    return {"pool": len(contents) - len(set(contents)), "subset": len(picked) - len(set(picked))}


def _shares(counts: Iterable[tuple[Any, int, int]], sort: bool = True) -> dict[str, dict[str, float]]:
    """From (value, rows of the pool, rows of the subset) to counts and shares by the value's name."""
    named: dict[str, list[int]] = {}
    for value, pool, subset in counts:
        # Two values of one name, such as 1 and "1", are one bar.
        bar = named.setdefault("(none)" if value is None else str(value), [0, 0])
        bar[0], bar[1] = bar[0] + pool, bar[1] + subset
    rows, picked = (max(1, sum(bar[i] for bar in named.values())) for i in (0, 1))
    order = sorted(named.items(), key=lambda item: (-item[1][0], item[0])) if sort else named.items()
    return {
        name: {"pool": pool, "subset": subset, "pool_share": pool / rows, "subset_share": subset / picked}
        for name, (pool, subset) in order
    }


def _length_counts(selection: Selection, column: str) -> list[tuple[str, int, int]]:
    pool, subset = score_values(selection, column)
    if not len(pool):
        return []
    tops = np.unique(np.quantile(pool, [0.25, 0.5, 0.75, 1], method="inverted_cdf")).astype(int).tolist()
    bottoms = [int(pool.min()), *(top + 1 for top in tops[:-1])]
    return [
        (
            f"{low:,} to {top:,}" if low < top else f"{top:,}",
            int(((low <= pool) & (pool <= top)).sum()),
            int(((low <= subset) & (subset <= top)).sum()),
        )
        for low, top in zip(bottoms, tops, strict=True)
    ]
