"""The plots of a selection: score and length histograms, and its composition, as PNG."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_vitselect.errors import ColumnError
from hf_vitselect.report.composition import column_shares, recorded_shares
from hf_vitselect.report.figures import INK, POOL, SUBSET, canvas, png, rgb, short_label
from hf_vitselect.report.statistics import score_columns, score_values
from hf_vitselect.selection.selection import Selection

_BINS = 40
_MOST_BARS = 12


def plots(selection: Selection, pool: Dataset | None = None, column: str | None = None) -> dict[str, bytes]:
    """Draw the selection against its pool.

    Args:
        selection: any selection.
        pool: the pool that the selection was made from; needed only for a `column` that is not in the
            selection's recipe.
        column: the column whose composition is drawn; by default the first one of the recipe.

    Returns:
        PNG files by name, as far as they have data: `scores.png`, the histogram of the main score;
        `composition.png`; `lengths.png`, the histogram of the answers' lengths.
    """
    drawn = {}
    if columns := score_columns(selection):
        pool_scores, subset_scores = score_values(selection, columns[0])
        if len(pool_scores):
            drawn["scores.png"] = _histogram(columns[0], pool_scores, subset_scores)
    recorded = {
        name: shares for name, shares in recorded_shares(selection).items() if name != selection.length_column
    }
    column = column if column is not None else next(iter(recorded), None)
    if column is not None:
        if column not in recorded and pool is None:
            raise ColumnError(f"expected the pool that has the column {column!r}, got none; pass pool=")
        shares = recorded.get(column) if pool is None else column_shares(pool, selection, column)
        drawn["composition.png"] = _bars(column, shares or {})
    if (name := selection.length_column) is not None:
        pool_lengths, subset_lengths = score_values(selection, name)
        if len(pool_lengths):
            drawn["lengths.png"] = _histogram(name, pool_lengths, subset_lengths)
    return drawn


def _histogram(column: str, pool: NDArray[np.float64], subset: NDArray[np.float64]) -> bytes:
    figure, axes = canvas(height=3.8)
    edges = np.histogram_bin_edges(pool, bins=_BINS).tolist()
    axes.hist(pool, edges, density=True, color=POOL, label=f"pool ({len(pool):,} scored rows)")
    if len(subset):
        style: dict[str, Any] = {"density": True, "histtype": "stepfilled", "edgecolor": SUBSET}
        face = (*rgb(SUBSET), 0.22)
        label = f"subset ({len(subset):,} rows)"
        axes.hist(subset, edges, facecolor=face, linewidth=1.8, label=label, **style)
        axes.axvline(float(np.median(subset)), color=SUBSET, linestyle="--", linewidth=1.4)
    axes.axvline(float(np.median(pool)), color="#6e7781", linestyle="--", linewidth=1.4)
    axes.plot([], [], color=INK, linestyle="--", linewidth=1.4, label="median")
    axes.set_xlabel(short_label(column), parse_math=False)
    axes.set_ylabel("density")
    return png(figure)


def _bars(column: str, shares: Mapping[str, Mapping[str, float]]) -> bytes:
    names = list(shares)[:_MOST_BARS]
    bars = [(short_label(name), shares[name]["pool_share"], shares[name]["subset_share"]) for name in names]
    if rest := list(shares)[_MOST_BARS:]:
        pool_rest, subset_rest = (
            sum(shares[name][key] for name in rest) for key in ("pool_share", "subset_share")
        )
        bars.append((f"{len(rest):,} others", pool_rest, subset_rest))
    figure, axes = canvas(height=1.3 + 0.5 * len(bars))
    positions = np.arange(len(bars))
    for offset, color, label, which in ((-0.2, POOL, "pool", 1), (0.2, SUBSET, "subset", 2)):
        drawn = axes.barh(
            positions + offset, [100 * bar[which] for bar in bars], 0.38, color=color, label=label
        )
        axes.bar_label(drawn, fmt="%.1f%%", padding=3, color=INK, fontsize=9)
    axes.set_yticks(positions, [bar[0] for bar in bars], parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("share of rows (%)")
    axes.set_ylabel(short_label(column), parse_math=False)
    return png(figure)
