"""The composition of pool and subset: the table of kinds on the card, and the lengths of the answers."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from datasets import Dataset, Value

from hf_vitselect.errors import ColumnError, LayoutError
from hf_vitselect.report.markdown import Markdown, code, escaped_table, md
from hf_vitselect.report.statistics import score_values
from hf_vitselect.selection.composition import value_counts
from hf_vitselect.selection.selection import Selection

_MOST_LINES = 12

Shares = dict[str, dict[str, float]]
"""By value: `pool` and `subset` in rows, `pool_share` and `subset_share` from 0 to 1. A null is `(none)`."""


def column_shares(pool: Dataset, selection: Selection, column: str) -> Shares:
    """Count how often each value of a column occurs in the pool and in the subset.

    Args:
        pool: the pool that the selection was made from; it may have other columns.
        selection: made from that pool.
        column: a column with few distinct values, such as a source or a kind.

    Returns:
        The shares of each value, the pool's most frequent first.

    Raises:
        ColumnError: if the pool has no such column of plain values.
        LayoutError: if the pool does not have the rows of the selection's pool.

    Examples:
        >>> column_shares(pool, selection, "kind")["caption"]["subset_share"]  # doctest: +SKIP
        0.25
    """
    if len(pool) != selection.recipe.rows:
        raise LayoutError(
            f"expected the pool of {selection.recipe.rows} rows that the selection was made from, "
            f"got {len(pool)} rows; pass that pool"
        )
    if not isinstance(pool.features.get(column), Value):
        plain = [name for name, kind in pool.features.items() if isinstance(kind, Value)]
        raise ColumnError(f"expected a column of plain values, got {column!r}; choose one of {plain}")
    counts = value_counts(pool, column, selection.indices)
    return _shares((count.value, count.pool, count.subset) for count in counts)


def recorded_shares(selection: Selection) -> dict[str, Shares]:
    """The compositions that the selection itself records, and that of its answers' lengths."""
    recorded = {
        name: _shares((count.value, count.pool, count.subset) for count in counts)
        for name, counts in selection.recipe.composition.items()
    }
    name = selection.length_column
    lengths = _length_counts(selection, name) if name else []
    return recorded | ({name: _shares(lengths, sort=False)} if name and len(lengths) > 1 else {})


def composition_table(name: str, shares: Mapping[str, Mapping[str, float]]) -> Markdown:
    """The composition of one column as a Markdown table: at most twelve values, the others in one line."""
    lines = [(md(value), counts) for value, counts in shares.items()]
    if rest := [counts for _, counts in lines[_MOST_LINES:]]:
        others = {key: sum(counts[key] for counts in rest) for key in rest[0]}
        lines = [*lines[:_MOST_LINES], (Markdown(f"{len(rest):,} others"), others)]
    return escaped_table(
        {
            code(name): value,
            "pool": int(counts["pool"]),
            "subset": int(counts["subset"]),
            "pool %": round(100 * counts["pool_share"], 1),
            "subset %": round(100 * counts["subset_share"], 1),
        }
        for value, counts in lines
    )


def _shares(counts: Iterable[tuple[Any, int, int]], sort: bool = True) -> Shares:
    """Shares by name, of values with their rows in the pool and in the subset."""
    named: dict[str, list[int]] = {}
    for value, pool, subset in counts:
        # Two values with one name, such as 1 and "1", are one bar.
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
