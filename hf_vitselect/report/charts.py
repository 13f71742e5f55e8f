"""Bars of histograms and shares as numbers for a page's template, in percent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_vitselect.report.statistics import score_columns, score_values
from hf_vitselect.selection.selection import Selection

_BINS = 40
_TAIL = 0.005  # of the pool on either side, counted in the outermost bins


@dataclass(frozen=True)
class Histogram:
    """The scores of pool and subset.

    Attributes:
        name: The column.
        pool: Heights of the bins, 0 to 100; the highest bin of both has 100.
        subset: The same of the subset.
        ends: The lowest and the highest value, as texts; with a sign if the outermost bins hold more.
        medians: Of pool and subset, as texts.
        positions: Of the medians on the axis, 0 to 100.
        counts: Rows with a score, in pool and subset.
    """

    name: str
    pool: Sequence[float]
    subset: Sequence[float]
    ends: tuple[str, str]
    medians: tuple[str, ...]
    positions: tuple[float, ...]
    counts: tuple[int, int]


@dataclass(frozen=True)
class Bar:
    """A value's share of the pool and of the subset, in percent of rows; `width` 100 is the longest bar."""

    name: str
    pool: float
    subset: float
    pool_width: float
    subset_width: float
    pool_rows: int
    subset_rows: int


def histograms(selection: Selection) -> list[Histogram]:
    """One for each score and for the lengths of the answers, as far as rows have them."""
    names = [*score_columns(selection), *filter(None, [selection.length_column])]
    columns = {name: score_values(selection, name) for name in dict.fromkeys(names)}
    return [_histogram(name, *values) for name, values in columns.items() if len(values[0])]


def _histogram(name: str, pool: NDArray[np.float64], subset: NDArray[np.float64]) -> Histogram:
    low, high = np.quantile(pool, [_TAIL, 1 - _TAIL], method="nearest").tolist()
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    parts = [np.histogram(values.clip(low, high), edges)[0] for values in (pool, subset)]
    shares = [part / max(1, part.sum()) for part in parts]
    top = max(float(part.max()) for part in shares)
    heights = [(100 * part / top).round(2).tolist() for part in shares]
    medians = tuple(float(np.median(values)) for values in (pool, subset) if len(values))
    positions = tuple(
        round(100 * (min(max(median, low), high) - low) / (edges[-1] - low), 2) for median in medians
    )
    ends = (
        f"{'≤ ' if pool.min() < low else ''}{short(low)}",
        f"{'≥ ' if pool.max() > high else ''}{short(high)}",
    )
    texts = tuple(map(short, medians))
    return Histogram(name, heights[0], heights[1], ends, texts, positions, (len(pool), len(subset)))


def bars(shares: Mapping[str, tuple[int, int]]) -> list[Bar]:
    """Bars of values by name, with their rows in pool and subset, in the given order."""
    rows, picked = (max(1, sum(both[i] for both in shares.values())) for i in (0, 1))
    percent = {name: (100 * pool / rows, 100 * subset / picked) for name, (pool, subset) in shares.items()}
    top = max((max(both) for both in percent.values()), default=0) or 1
    return [
        Bar(name, pool, subset, round(100 * pool / top, 2), round(100 * subset / top, 2), *shares[name])
        for name, (pool, subset) in percent.items()
    ]


def short(value: float) -> str:
    """A number in a few characters, large ones with thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
